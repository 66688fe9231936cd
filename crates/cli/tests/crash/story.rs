//! The story: a newsletter's receivers go to CleverTap, as profiles and as events, and into a group
//! of another account of CleverReach, by polls and sweeps, while the process is killed.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use sandbox::{GroupSeed, Options, Receiver, Sandbox, Switches, Touch, UpsertTags, What};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{self, Passed, Ran};
use crate::ledger::{Again, Allowed, Due};
use crate::plan::{Kill, Phase, Plan};
use crate::rounds::Side;

pub(crate) const NAME: &str = "newsletter-to-both";
pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEWSLETTER: u64 = 1_123_825;
pub(crate) const MEMBERS: u64 = 2_001;
/// A point that no run comes to fails, rather than being waited for without end.
pub(crate) const ATTEMPTS: usize = 20;

const FLOW: &str = r#"
flow: newsletter-to-both
window: WINDOW
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  emitDeletes: true
  fields: { groupName: Newsletter, pageSize: PAGE }
  retry: { attempts: 3, jitter: 0 }
steps:
  - id: profiles
    use: clevertap.uploadProfiles
    account: engagement
    retry: { attempts: 3, jitter: 0 }
    fields:
      customMapping: |
        {
          "identity": metadata.recordUid,
          "profileData": {
            "Name": data.firstName & " " & data.lastName,
            "Email": data.contactData[type = "email"][0].value,
            "Tags": [data.categories.name]
          }
        }
  - id: members
    use: cleverreach.upsertReceiver
    account: members
    after: trigger
    retry: { attempts: 3, jitter: 0 }
    fields: { groupName: Members, activation: keep }
  - id: events
    use: clevertap.uploadEvents
    account: engagement
    after: trigger
    inDoubt: DOUBT
    retry: { attempts: 3, jitter: 0 }
    fields:
      event: Newsletter changed
      source: ExamplePartner
      customMapping: |
        {
          "identity": metadata.recordUid,
          "evtName": $fields.event,
          "evtData": { "Name": data.lastName, "Tags": $join(data.categories.name, " ") }
        }
  - id: gone
    use: clevertap.uploadProfiles
    account: engagement
    after: trigger
    for: deletes
    retry: { attempts: 3, jitter: 0 }
    fields:
      customMapping: |
        { "identity": metadata.recordUid, "profileData": { "Newsletter": "left" } }
  - id: left
    use: clevertap.uploadEvents
    account: engagement
    after: trigger
    for: deletes
    inDoubt: DOUBT
    retry: { attempts: 3, jitter: 0 }
    fields:
      event: Newsletter left
      source: ExamplePartner
      customMapping: |
        { "identity": metadata.recordUid, "evtName": $fields.event }
"#;

/// How large a story is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) receivers: usize,
    pub(crate) page: usize,
    /// How many pages are on their way at once. With one, what is not committed was not sent, so
    /// that a snapshot ahead of its page shows; with more, what happens at once shows.
    pub(crate) window: usize,
}

/// What becomes of events of which nobody knows whether they arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InDoubt {
    Hold,
    Resend,
}

impl fmt::Display for InDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Hold { "hold" } else { "resend" })
    }
}

/// How many runs have to end well until nothing is left to be told: who is gone is told once two
/// readings of everything missed them.
pub(crate) const fn runs_to_rest(phase: Phase) -> usize {
    match phase {
        Phase::First => 1,
        Phase::Later => 2,
    }
}

/// Both sides of the flow, and the folder of the project.
pub(crate) struct Story {
    pub(crate) size: Size,
    pub(crate) in_doubt: InDoubt,
    /// The newsletter and CleverTap.
    pub(crate) source: Sandbox,
    /// The other account of CleverReach.
    pub(crate) target: Sandbox,
    folder: TempDir,
    pub(crate) runtime: tokio::runtime::Runtime,
    /// How often receivers were edited.
    edits: usize,
    pub(crate) due: Due,
    /// What may be sent again since the story began.
    allowed: Allowed,
    /// How it stood when it was last at rest.
    rested: Again,
}

impl Story {
    pub(crate) fn new(size: Size, in_doubt: InDoubt) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let source = Options { receivers: size.receivers, ..Options::default() };
        let target = Options {
            receivers: 0,
            groups: vec![GroupSeed::new(MEMBERS, "Members", 0)],
            switches: Switches { upsert_tags: UpsertTags::Replace, ..Switches::default() },
            ..Options::default()
        };
        let source = runtime.block_on(Sandbox::start(source)).unwrap();
        let target = runtime.block_on(Sandbox::start(target)).unwrap();
        let folder = TempDir::new().unwrap();
        let credentials = source.credentials();
        let reach = |name: &str, url: String| {
            format!(
                "  {name}:\n    connector: cleverreach\n    baseUrl: {url}\n    clientId: {}\n    \
                 clientSecret: {{ env: CR_SECRET }}\n",
                credentials.client_id
            )
        };
        let config = format!(
            "accounts:\n{}{}  engagement:\n    connector: clevertap\n    baseUrl: {}\n    \
             projectId: {}\n    passcode: {{ env: CT_PASSCODE }}\n",
            reach("newsletter", source.cleverreach_url()),
            reach("members", target.cleverreach_url()),
            source.clevertap_url(),
            credentials.project_id,
        );
        std::fs::write(folder.path().join("towpath.yaml"), config).unwrap();
        let flow = FLOW.replace("PAGE", &size.page.to_string());
        let flow = flow.replace("WINDOW", &size.window.to_string());
        let flow = flow.replace("DOUBT", &in_doubt.to_string());
        std::fs::write(folder.path().join(format!("{NAME}.yaml")), flow).unwrap();
        let mut due = Due::default();
        source.receivers().iter().for_each(|receiver| due.change(receiver));
        let (allowed, rested) = (Allowed::default(), Again::default());
        Self { size, in_doubt, source, target, folder, runtime, edits: 0, due, allowed, rested }
    }

    /// The command that is killed, and that goes on afterwards. A later one reads everything also
    /// where no sweep is due yet.
    pub(crate) fn command(&self, phase: Phase) -> Command {
        let how = if phase == Phase::First { "--once" } else { "--allow-deletes" };
        self.towpath(&["run", NAME, how])
    }

    /// Does what an operator does whose accounts are paused: a token that expired twice in a row
    /// looks like credentials that are refused, and probes have their time.
    pub(crate) fn resume_accounts(&self) {
        for account in ["newsletter", "engagement", "members"] {
            child::run(self.towpath(&["accounts", "resume", account]), None);
        }
    }

    /// The binary in the project's folder, with what it needs of the environment.
    pub(crate) fn towpath(&self, args: &[&str]) -> Command {
        let credentials = self.source.credentials();
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TOWPATH_KEY", KEY)
            .env("CR_SECRET", &credentials.client_secret)
            .env("CT_PASSCODE", &credentials.passcode);
        command
    }

    /// Plays a plan and compares both sides behind it. The error says what is missing, or what
    /// was sent again without need.
    pub(crate) fn play(&mut self, plan: &Plan) -> Result<Again, String> {
        if plan.phase == Phase::Later {
            self.edit();
        }
        for kill in &plan.kills {
            self.kill(plan.phase, kill)?;
        }
        for _ in 0..runs_to_rest(plan.phase) {
            done(&child::run(self.command(plan.phase), None))?;
        }
        self.rest()
    }

    /// Takes everything over for the first time.
    pub(crate) fn begin(&mut self) {
        self.play(&Plan { phase: Phase::First, kills: vec![] }).unwrap();
    }

    /// Compares both sides, and gives what was sent again since this was last done.
    pub(crate) fn rest(&mut self) -> Result<Again, String> {
        let now = self.settle(self.allowed)?;
        let before = std::mem::replace(&mut self.rested, now);
        let again = Again {
            profiles: now.profiles - before.profiles,
            members: now.members - before.members,
            events: now.events - before.events,
            in_doubt: now.in_doubt - before.in_doubt,
            allowed: Allowed {
                messages: now.allowed.messages - before.allowed.messages,
                calls: now.allowed.calls - before.allowed.calls,
            },
        };
        if again.profiles.max(again.members) > again.allowed.messages {
            return Err(format!("sent again without need: {again:?}"));
        }
        Ok(again)
    }

    /// A process was killed, or ended with an error: it leaves pages uncommitted.
    pub(crate) fn allow_broken(&mut self, ran: &Ran) {
        self.allowed.messages += (self.size.window * self.size.page) as u64;
        self.allowed.calls += ran.open_calls();
    }

    /// So many calls were carried out and got no answer: their batches may be sent again. So many
    /// uploads got none that says whether they arrived.
    pub(crate) fn allow_unanswered(&mut self, calls: u64, uploads: u64) {
        self.allowed.messages += calls * self.size.page as u64;
        self.allowed.calls += uploads;
    }

    /// Runs the command until it is killed where it should be. A run that comes to its end before
    /// gets a successor, with new edits.
    fn kill(&mut self, phase: Phase, kill: &Kill) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            let ran = child::run(self.command(phase), Some(kill));
            if ran.code.is_none() {
                self.allow_broken(&ran);
                return Ok(());
            }
            done(&ran)?;
            if let Kill::After { .. } = kill {
                // It was quicker than the one that was counted.
                return Ok(());
            }
            if phase == Phase::First {
                return Err(format!("the first run did not come to {kill}"));
            }
            self.edit();
        }
        Err(format!("no run came to {kill}"))
    }

    /// Runs the command to its end and counts the points that it comes to.
    pub(crate) fn count(&mut self, phase: Phase) -> Passed {
        if phase == Phase::Later {
            // Who is missed for the first time is told by the run behind that one.
            self.edit();
            done(&child::run(self.command(phase), None)).unwrap();
            self.edit();
        }
        let ran = child::count(self.command(phase));
        done(&ran).unwrap();
        ran.passed
    }

    /// Edits receivers; the store looks as thousands of edits leave it.
    fn edit(&mut self) {
        self.age();
        self.touch();
    }

    /// Edits three of ten receivers: a third of them with a timestamp, the others without one. One
    /// goes, and another one comes. Tokens are no longer good.
    pub(crate) fn touch(&mut self) {
        self.edits += 1;
        let edit = self.edits;
        let ids: Vec<String> = self.source.receivers().into_iter().map(|it| it.id).collect();
        let tenth = |nth: usize| ids.iter().skip(nth).step_by(10).cloned();
        let name = format!("Edited-{edit}");
        self.source.touch(&Touch::ids(tenth(1)).attribute("name", name.as_str()));
        let attributes = Touch::ids(tenth(2)).only(What::Attributes);
        self.source.touch(&attributes.attribute("name", name.as_str()));
        let tags = Touch::ids(tenth(3)).only(What::Tags);
        self.source.touch(&Touch { tags: vec![format!("edited-{edit}")], ..tags });
        for id in (1..=3).flat_map(tenth) {
            self.due.change(&self.source.receiver(&id).unwrap());
        }
        self.come(edit);
        // The first of a story of one receiver stays.
        if let Some(id) = tenth(5).nth(edit % tenth(5).count().max(1)) {
            self.source.delete_receiver(&id);
            self.due.leave(&id);
        }
        self.source.expire_tokens();
        self.target.expire_tokens();
    }

    /// A receiver comes.
    fn come(&mut self, edit: usize) {
        let now = self.source.now();
        let attributes = json!({ "firstname": "Newcomer", "name": format!("Number-{edit}") });
        let Value::Object(attributes) = attributes else { unreachable!("it is an object") };
        let newcomer = Receiver {
            email: format!("newcomer-{edit}@example.com"),
            registered: now,
            activated: now,
            attributes,
            groups: vec![NEWSLETTER.to_string()],
            ..Receiver::default()
        };
        let id = self.source.put_receiver(&newcomer);
        self.due.change(&self.source.receiver(&id).unwrap());
    }

    pub(crate) fn store_folder(&self) -> PathBuf {
        self.folder.path().join(".towpath/store")
    }

    pub(crate) const fn side(&self, side: Side) -> &Sandbox {
        match side {
            Side::Newsletter | Side::Uploads => &self.source,
            Side::Members => &self.target,
        }
    }

    pub(crate) fn clear_faults(&self) {
        self.source.clear_faults();
        self.target.clear_faults();
    }
}

/// A process that is neither killed nor befallen by anything ends well.
fn done(ran: &Ran) -> Result<(), String> {
    match ran.code {
        None | Some(0) => Ok(()),
        Some(code) => Err(format!("exit code {code}: {}", ran.said.join(" / "))),
    }
}
