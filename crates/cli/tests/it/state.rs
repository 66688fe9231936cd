//! State in the operator's hands: each command, what it says, and what it does.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use sandbox::Touch;
use serde_json::Value;
use store::{Commit, Durability, MasterKey, SledOptions, SledStore, Store};

use crate::folder::{FLOW, Folder, NAME, Ran, Vendors};

const RECEIVERS: usize = 60;

/// A project whose flow reads pages of ten, and has moved everything once.
struct Story {
    vendors: Vendors,
    folder: Folder,
}

impl Story {
    fn new() -> Self {
        let vendors = Vendors::with(RECEIVERS);
        let credentials = vendors.sandbox.credentials();
        let folder = Folder::empty();
        folder.write("secret.txt", &credentials.client_secret);
        folder.write("passcode.txt", &credentials.passcode);
        let config = vendors.config("{ file: secret.txt }", "{ file: passcode.txt }");
        folder.write("towpath.yaml", &config);
        let paged =
            FLOW.replace("groupName: Newsletter\n", "groupName: Newsletter\n    pageSize: 10\n");
        folder.write(&format!("flows/{NAME}.yaml"), &paged);
        let story = Self { vendors, folder };
        story.once().says("60 delivered");
        story
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.folder.run(args)
    }

    fn once(&self) -> Ran {
        self.run(&["run", NAME, "--once"]).exits(0)
    }

    /// How many profiles arrived since the last time.
    fn uploaded(&self) -> u64 {
        let uploaded = self.vendors.sandbox.stats().clevertap.records_accepted;
        self.vendors.sandbox.reset_stats();
        uploaded
    }

    /// The number of the newest entry of the history.
    fn newest(&self) -> String {
        let entries = self.run(&["state", "history", NAME, "--json"]).exits(0).json();
        entries.first().unwrap()["entry"].to_string()
    }
}

#[test]
fn a_flow_shows_where_it_stands_and_how_it_came_there() {
    let story = Story::new();
    let shown = story.run(&["state", "show", NAME]).exits(0);
    let shown = shown.says("lastUpdated  2").says("partition    ").says("settled up to");
    shown.says("waiting      0 parked, 0 open dead letters, 0 in the journal").says("60 delivered");
    let json = story.run(&["state", "show", NAME, "--json"]).exits(0).json();
    assert_eq!(json[0]["waiting"]["seen"], RECEIVERS);
    let history = story.run(&["state", "history", NAME]).exits(0);
    history.says("scan (newest)").says("lastUpdated");
    story.run(&["state", "history", "other"]).exits(0).says("nothing is remembered");
}

#[test]
fn a_rewind_says_what_it_means_asks_and_is_taken_back() {
    let story = Story::new();
    let before = story.newest();
    story.uploaded();
    let rewind = ["state", "rewind", NAME, "--to", "1970-01-01"];
    let asked = story.run(&rewind).exits(4).says("→ 1970-01-01T00:00:00Z").says("sent again");
    asked.says("60 messages delivered; 60 records remembered").says("add --yes");
    assert_eq!(story.newest(), before);
    let done = story.run(&[&rewind[..], &["--yes"]].concat()).exits(0);
    done.says(&format!("state rewind {NAME} --to-entry {before}"));
    story.run(&["state", "rewind", NAME, "--to-entry", &before, "--yes"]).exits(0);
    story.once();
    assert_eq!(story.uploaded(), 0);
    story.run(&["state", "rewind", NAME, "--by", "3650d", "--yes"]).exits(0);
    story.once();
    assert_eq!(story.uploaded(), RECEIVERS as u64);

    story.run(&["state", "rewind", NAME]).exits(2).says("--to");
    let wrong = story.run(&["state", "rewind", NAME, "--to", "now-2x"]).exits(2);
    wrong.says("`x` at character 6");
    let none = story.run(&["state", "rewind", NAME, "--to-entry", "9999", "--yes"]).exits(4);
    none.says("there is no entry 9999");
    let future = story.run(&["state", "rewind", NAME, "--to", "2999-01-01", "--yes"]).exits(4);
    future.says("in the future");
}

#[test]
fn a_backfill_sends_again_and_goes_on_after_a_kill() {
    let story = Story::new();
    story.uploaded();
    let whole = story.run(&["run", NAME, "--from", "1970-01-01"]).exits(0);
    let whole = whole.says("backfill of what changed since 1970-01-01T00:00:00Z");
    whole.says(
        "backfill complete: from 1970-01-01T00:00:00Z to its end in 1 partition: 60 found, 60 sent",
    );
    assert_eq!(story.uploaded(), RECEIVERS as u64);
    // Killed behind the commit of the second page.
    let mut killed = Command::new(env!("CARGO_BIN_EXE_towpath"));
    killed.args(["run", NAME, "--from", "0"]).current_dir(story.folder.path("")).env_clear();
    killed.env("HOME", story.folder.path("")).env("TOWPATH_HOLD_AT", "engine.commit.done:2");
    let mut child = killed.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line.contains("holds at")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(story.uploaded(), 20);
    story.run(&["state", "show", NAME]).exits(0).says("backfill     from 1970").says("20 found");
    story.run(&["run", NAME, "--from", "now-1d"]).exits(4).says("--stop-backfill");
    let resumed = story.once().says("backfill goes on where it was left");
    resumed.says("60 found");
    assert_eq!(story.uploaded(), 40);
    story.once();
    assert_eq!(story.uploaded(), 0);
    story.run(&["run", NAME, "--stop-backfill"]).exits(0).says("no backfill is under way");
    let swapped = ["run", NAME, "--from", "2026-03-02", "--until", "2026-03-01"];
    story.run(&swapped).exits(4).says("--until is before --from");
}

#[test]
fn state_goes_out_and_comes_in_as_a_document() {
    let story = Story::new();
    story.uploaded();
    let exported = story.run(&["state", "export", NAME, "--seen"]).exits(0);
    assert_eq!(exported.out.lines().count(), RECEIVERS + 1);
    story.folder.write("state.ndjson", &exported.out);
    story.run(&["state", "reset", NAME]).exits(0);
    let import = ["state", "import", NAME, "state.ndjson"];
    story.run(&import).exits(0).says("60 settled records came along: none is sent again");
    story.once();
    assert_eq!(story.uploaded(), 0);
    let cut = exported.out.get(..exported.out.len() - 40).unwrap();
    story.folder.write("state.ndjson", cut);
    story.run(&import).exits(4).says("state.ndjson: line 61: EOF");
    // Another key.
    std::fs::remove_dir_all(story.folder.path(".towpath")).unwrap();
    for file in story.folder.files("") {
        if file.extension().is_some_and(|it| it == "key") {
            std::fs::remove_file(file).unwrap();
        }
    }
    story.folder.write("state.ndjson", &exported.out);

    let oih = story.folder.run_with(&["state", "import", NAME, "-"], br#"{"lastUpdated":1}"#);
    oih.exits(0).says("goes on from there");
    story.once();
    assert_eq!(story.uploaded(), RECEIVERS as u64);
    let set = |text: &str| story.folder.run_with(&["state", "set", NAME, "-"], text.as_bytes());
    set("{").exits(4).says("standard input is not JSON").says("line 1");
    let wrong = set(r#"{"lastUpdatd":1,"generation":9}"#).exits(4);
    wrong
        .says("lastUpdatd: there is no such field; did you mean `lastUpdated`?")
        .says("generation: ");
    set(r#"{"lastUpdated":"2026-01-01T00:00:00Z"}"#).exits(0).says("goes on from this snapshot");
}

#[test]
fn a_plan_says_what_changed_files_make_of_state_and_changes_nothing() {
    let story = Story::new();
    let before = story.newest();
    let kept = story.run(&["serve", "--plan"]).exits(0);
    kept.says(&format!("{NAME}: kept: goes on from its state of 2"));
    let file = format!("flows/{NAME}.yaml");
    let text = story.folder.read(&file);
    story.folder.write(&file, &text.replace("groupName: Newsletter", "groupName: Customers"));
    story.folder.write("flows/other.yaml", &text.replace(NAME, "other"));
    let changed = story.run(&["serve", "--plan"]).exits(4);
    let changed = changed.says(&format!("{NAME}: refused: reads another source"));
    let changed = changed.says(&format!("state keep {NAME}")).says(&format!("state reset {NAME}"));
    changed.says("sends up to 60 records again").says("other: new: its first run reads and sends");
    let json = story.run(&["serve", "--plan", "--json"]).exits(4).json();
    assert_eq!((&json[0]["state"], &json[0]["sentAgain"]), (&"refused".into(), &RECEIVERS.into()));
    // The flow itself is refused too, and a plan decides nothing.
    story.run(&["run", NAME, "--once"]).exits(4).says("state reset");
    assert_eq!(story.newest(), before);
    story.folder.write(&file, &text.replace(NAME, "renamed"));
    let left = story.run(&["serve", "--plan"]).exits(0);
    left.says(&format!("{NAME}: left: no file has it; its state of 2")).says("renamed: new");
}

#[test]
fn a_plan_says_what_an_older_and_a_newer_format_mean() {
    let story = Story::new();
    let stored = |format: u64| {
        story.vendors.runtime.block_on(async {
            let key = story.folder.read(".config/towpath/key");
            let key = MasterKey::from_text(&key).unwrap();
            let path = story.folder.path(".towpath/store");
            let options = SledOptions { path, key: &key, durability: Durability::Full };
            let store = SledStore::open(options).await.unwrap();
            let lease = store.lease(NAME).await.unwrap();
            let head = lease.head.unwrap();
            let mut snapshot: Value = serde_json::from_slice(&head.snapshot).unwrap();
            snapshot["format"] = format.into();
            let snapshot = serde_json::to_vec(&snapshot).unwrap();
            let commit = Commit { snapshot, ..Commit::default() };
            store.commit(&lease.fence, head.sequence + 1, commit).await.unwrap();
        });
    };
    stored(1);
    for _ in 0..2 {
        let plan = story.run(&["serve", "--plan"]).exits(0);
        plan.says(&format!("{NAME}: migrated: goes on from its state of 2"))
            .says("instead of 1; nothing is sent again");
    }
    // As it says: nothing is sent again, and from then on it is kept.
    story.uploaded();
    story.once();
    assert_eq!(story.uploaded(), 0);
    let id = story.vendors.sandbox.receivers().remove(0).id;
    story.vendors.sandbox.advance_clock(3600);
    story.vendors.sandbox.touch(&Touch::ids([&id]));
    story.once();
    assert_eq!(story.uploaded(), 1);
    story.run(&["serve", "--plan"]).exits(0).says(&format!("{NAME}: kept"));

    stored(99);
    let plan = story.run(&["serve", "--plan"]).exits(4);
    plan.says(&format!("{NAME}: unknown")).says("99");
    story.run(&["run", NAME, "--once"]).exits(8).says("written by a newer towpath");
}
