//! The story: a newsletter's receivers go to CleverTap and into a group of another account of
//! CleverReach, by polls and sweeps, while the process is killed.

use std::collections::HashMap;
use std::process::Command;

use sandbox::{GroupSeed, Options, Receiver, Sandbox, Switches, Touch, UpsertTags, What};
use serde_json::{Map, Value};
use store::{Commit, Durability, MasterKey, Seen, SeenChange, SledOptions, SledStore, Store};
use tempfile::TempDir;

use crate::child::{self, Ran};
use crate::plan::{Kill, Phase, Plan};
use crate::rounds::Side;

const NAME: &str = "newsletter-to-both";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const MEMBERS: u64 = 2_001;
/// So many seen entries are kept in loose blocks; one more, and they are rolled.
const LOOSE: usize = 20_000;
/// A point that no run comes to fails, rather than being waited for without end.
pub(crate) const ATTEMPTS: usize = 60;

const FLOW: &str = r#"
flow: newsletter-to-both
window: WINDOW
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  sweep: SWEEP
  fields: { groupName: Newsletter, pageSize: PAGE }
steps:
  - id: profiles
    use: clevertap.uploadProfiles
    account: engagement
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
    fields: { groupName: Members, activation: keep }
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

/// What was sent more often than once, by system, and how much of that may be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Again {
    pub(crate) profiles: u64,
    pub(crate) members: u64,
    /// The window's pages for each process that was killed.
    pub(crate) allowed: u64,
}

/// Both sides of the flow, and the folder of the project.
pub(crate) struct Story {
    pub(crate) size: Size,
    /// The newsletter and CleverTap.
    source: Sandbox,
    /// The other account of CleverReach.
    target: Sandbox,
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    round: usize,
    /// How many changes there were to be sent so far.
    pub(crate) changes: u64,
    /// How many processes were killed so far.
    kills: u64,
    /// Whether a sweep may still have to find edits.
    pub(crate) edits_open: bool,
}

impl Story {
    pub(crate) fn new(size: Size) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
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
        let changes = size.receivers as u64;
        let story = Self {
            size,
            source,
            target,
            folder,
            runtime,
            round: 0,
            changes,
            kills: 0,
            edits_open: false,
        };
        // However long the first run takes, it sweeps nothing.
        story.write_flow("1h");
        story
    }

    fn write_flow(&self, sweep: &str) {
        let flow = FLOW.replace("PAGE", &self.size.page.to_string());
        let flow = flow.replace("WINDOW", &self.size.window.to_string()).replace("SWEEP", sweep);
        std::fs::write(self.folder.path().join(format!("{NAME}.yaml")), flow).unwrap();
    }

    /// The command that is killed, and that goes on afterwards.
    pub(crate) fn command(&self) -> Command {
        self.towpath(&["run", NAME, "--once"])
    }

    /// Does what an operator does whose accounts are paused: a token that expired twice in a row
    /// looks like credentials that are refused, and probes have their time.
    pub(crate) fn resume_accounts(&self) {
        for account in ["newsletter", "engagement", "members"] {
            child::run(self.towpath(&["accounts", "resume", account]), None);
        }
    }

    fn towpath(&self, args: &[&str]) -> Command {
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
        let before = self.sent();
        let (changes, kills) = (self.changes, self.kills);
        if plan.phase == Phase::Later {
            self.edit();
        }
        for kill in &plan.kills {
            self.kill(plan.phase, kill)?;
        }
        self.finish(plan.phase)?;
        self.compare()?;
        let due = match plan.phase {
            Phase::First => self.changes,
            Phase::Later => self.changes - changes,
        };
        let allowed = (self.kills - kills) * (self.size.window * self.size.page) as u64;
        self.again(before, due, allowed)
    }

    /// What was sent beyond what was due; more of it than is allowed is an error.
    pub(crate) fn again(
        &self,
        before: (u64, u64),
        due: u64,
        allowed: u64,
    ) -> Result<Again, String> {
        let after = self.sent();
        let again = Again {
            profiles: (after.0 - before.0).checked_sub(due).ok_or("profiles are missing")?,
            members: (after.1 - before.1).checked_sub(due).ok_or("members are missing")?,
            allowed,
        };
        if again.profiles > again.allowed || again.members > again.allowed {
            return Err(format!("sent again without need: {again:?}"));
        }
        Ok(again)
    }

    /// Runs the command until it is killed where it should be. A run that comes to its end before
    /// gets a successor, with new edits once it has found the last ones.
    fn kill(&mut self, phase: Phase, kill: &Kill) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            let ran = child::run(self.command(), Some(kill));
            self.note(&ran)?;
            if ran.code.is_none() {
                self.kills += 1;
                return Ok(());
            }
            if let Kill::After { .. } = kill {
                // It was quicker than the one that was counted.
                return Ok(());
            }
            if phase == Phase::First {
                return Err(format!("the first run did not come to {kill}"));
            }
            if !self.edits_open {
                self.edit();
            }
        }
        Err(format!("no run came to {kill}"))
    }

    /// Runs the command until everything must have been found.
    fn finish(&mut self, phase: Phase) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            let ran = child::run(self.command(), None);
            self.note(&ran)?;
            if phase == Phase::First || !self.edits_open {
                return Ok(());
            }
        }
        Err("no sweep was due".to_owned())
    }

    /// Runs the command to its end and counts the points that it comes to; of several runs until
    /// a sweep is due, the most that one came to.
    pub(crate) fn count(&mut self, phase: Phase) -> child::Passed {
        if phase == Phase::Later {
            self.edit();
        }
        let mut passed = child::Passed::new();
        for _ in 0..ATTEMPTS {
            let ran = child::count(self.command());
            self.note(&ran).unwrap();
            for (point, times) in ran.passed {
                let most = passed.entry(point).or_default();
                *most = times.max(*most);
            }
            if !self.edits_open {
                break;
            }
        }
        passed
    }

    pub(crate) fn note(&mut self, ran: &Ran) -> Result<(), String> {
        match ran.code {
            None => {}
            Some(0) if ran.swept() => self.edits_open = false,
            Some(0) => {}
            Some(code) => return Err(format!("exit code {code}: {}", ran.said.join(" / "))),
        }
        Ok(())
    }

    /// Edits receivers; the store looks as thousands of edits leave it.
    fn edit(&mut self) {
        self.age();
        self.touch();
    }

    /// Edits three of ten receivers: a third of them with a timestamp, the others without one.
    /// Tokens are no longer good.
    pub(crate) fn touch(&mut self) {
        self.write_flow("1s");
        self.round += 1;
        let round = self.round;
        let ids: Vec<String> = self.source.receivers().into_iter().map(|it| it.id).collect();
        let tenth = |nth: usize| ids.iter().skip(nth).step_by(10).cloned();
        let name = format!("Edited-{round}");
        self.source.touch(&Touch::ids(tenth(1)).attribute("name", name.as_str()));
        let attributes = Touch::ids(tenth(2)).only(What::Attributes);
        self.source.touch(&attributes.attribute("name", name.as_str()));
        let tags = Touch::ids(tenth(3)).only(What::Tags);
        self.source.touch(&Touch { tags: vec![format!("edited-{round}")], ..tags });
        self.changes += (1..=3).map(|nth| tenth(nth).count() as u64).sum::<u64>();
        self.edits_open = true;
        self.source.expire_tokens();
        self.target.expire_tokens();
    }

    /// Brings the store to where the next commit rolls its blocks and the end of the next scan
    /// writes them anew, by entries that repeat what is there.
    fn age(&self) {
        let key = MasterKey::from_text(KEY).unwrap();
        let path = self.folder.path().join(".towpath/store");
        self.runtime.block_on(async {
            let options = SledOptions { path, key: &key, durability: Durability::Full };
            let store = SledStore::open(options).await.unwrap();
            let mut latest: HashMap<[u8; 16], Seen> = HashMap::new();
            let mut each =
                |entries: &[Seen]| latest.extend(entries.iter().map(|entry| (entry.key, *entry)));
            store.seen(NAME, &mut each).await.unwrap();
            let lease = store.lease(NAME).await.unwrap();
            let head = lease.head.unwrap();
            // The first ones are more than loose blocks take, so that these are rolled for sure.
            for (at, entries) in [LOOSE + 1, LOOSE].into_iter().enumerate() {
                let commit = Commit {
                    snapshot: head.snapshot.clone(),
                    seen: SeenChange::Append(
                        latest.values().copied().cycle().take(entries).collect(),
                    ),
                    ..Commit::default()
                };
                let sequence = head.sequence + 1 + at as u64;
                store.commit(&lease.fence, sequence, commit).await.unwrap();
            }
        });
    }

    pub(crate) const fn side(&self, side: Side) -> &Sandbox {
        match side {
            Side::Newsletter | Side::Profiles => &self.source,
            Side::Members => &self.target,
        }
    }

    pub(crate) fn clear_faults(&self) {
        self.source.clear_faults();
        self.target.clear_faults();
    }

    /// How many profiles and members were sent.
    pub(crate) fn sent(&self) -> (u64, u64) {
        let members = self.target.stats().cleverreach.receivers_upserted;
        (self.source.stats().clevertap.records_accepted, members)
    }

    /// Looks for every receiver, in its latest version, on the other side.
    pub(crate) fn compare(&self) -> Result<(), String> {
        let profiles = self.source.profiles();
        let receivers = self.source.receivers();
        let missing = |what: &str, is_there: &dyn Fn(&Receiver) -> bool| {
            let missing: Vec<&Receiver> = receivers.iter().filter(|it| !is_there(it)).collect();
            let Some(one) = missing.first() else { return Ok(()) };
            Err(format!("{} {what} are missing or old: {}", missing.len(), one.id))
        };
        missing("profiles", &|it| profiles.get(&it.id).is_some_and(|found| is_profile(found, it)))?;
        let group = MEMBERS.to_string();
        missing("members", &|it| {
            self.target.member(&group, &it.email).is_some_and(|found| is_member(&found, it))
        })
    }
}

fn text<'a>(attributes: &'a Map<String, Value>, name: &str) -> &'a str {
    attributes.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is_profile(profile: &Map<String, Value>, of: &Receiver) -> bool {
    let name = format!("{} {}", text(&of.attributes, "firstname"), text(&of.attributes, "name"));
    let tags = Value::from(of.tags.clone());
    text(profile, "Name") == name
        && text(profile, "Email") == of.email
        && (of.tags.is_empty() || profile.get("Tags") == Some(&tags))
}

fn is_member(member: &Receiver, of: &Receiver) -> bool {
    ["firstname", "name"].iter().all(|it| text(&member.attributes, it) == text(&of.attributes, it))
        && member.tags == of.tags
}
