//! Files that grow, are moved, emptied and cut off, as flows meet them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedAction, ErasedItem, ErasedTrigger, Services};

struct Desk {
    folder: tempfile::TempDir,
    api: Api,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connector = towpath_file::connector();
        let path = folder.path().to_str().unwrap().to_owned();
        let account = connector.account("files", None, BTreeMap::from([("folder".into(), path)]));
        let services = Services::bare();
        let api = Api::new(&connector, account.unwrap(), &BTreeMap::new(), services).unwrap();
        Self { folder, api }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn add(&self, name: &str, text: &str) {
        let before = fs::read_to_string(self.path(name)).unwrap_or_default();
        if before.is_empty() {
            fs::write(self.path(name), text).unwrap();
        } else {
            use std::io::Write as _;
            let file = fs::OpenOptions::new().append(true).open(self.path(name));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }
    }

    /// Scans to the end as the engine does, and gives keys and data; the place moves along.
    async fn scan(
        &self,
        trigger: &Arc<dyn ErasedTrigger>,
        at: &mut Option<Value>,
    ) -> Result<Vec<(String, String)>> {
        let mut found = vec![];
        loop {
            let scan = Scan { want: Want::All, partition: None, cursor: at.clone() };
            let page = trigger.poll(&self.api, &scan).await?;
            assert!(page.next.is_some());
            *at = page.next;
            if page.records.is_empty() {
                return Ok(found);
            }
            found.extend(page.records.into_iter().map(|it| (it.key, it.data.get().to_owned())));
        }
    }

    async fn append(&self, fields: Value, batch: &[(&str, Value)]) -> Result<Vec<Option<Outcome>>> {
        let action = action(fields);
        let items = batch.iter().map(|(id, record)| {
            let input = action.prepare(json!({ "record": record })).unwrap();
            ErasedItem { id: (*id).into(), key: (*id).into(), input }
        });
        let items: Vec<_> = items.collect();
        Ok(action.run(&self.api, &items).await?.into_vec())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

fn trigger(fields: Value) -> Arc<dyn ErasedTrigger> {
    let connector = towpath_file::connector();
    (connector.find_trigger("read").unwrap().configure)(fields).unwrap()
}

fn action(fields: Value) -> Arc<dyn ErasedAction> {
    let connector = towpath_file::connector();
    (connector.find_action("append").unwrap().configure)(fields).unwrap()
}

fn data(found: Vec<(String, String)>) -> Vec<String> {
    found.into_iter().map(|(_, data)| data).collect()
}

#[tokio::test]
async fn what_is_added_is_read_once_and_half_lines_wait() {
    let desk = Desk::new();
    let trigger = trigger(json!({ "path": "a.ndjson", "keyAt": "/id" }));
    let mut at = None;
    let missing = desk.scan(&trigger, &mut at).await.unwrap_err();
    assert!(matches!(missing, Error::Retry { .. }), "an outage is no empty page: {missing}");
    desk.add("a.ndjson", "{\"id\":1}\n\n{\"id\":\"b\"}\n{\"id\"");
    let found = desk.scan(&trigger, &mut at).await.unwrap();
    assert_eq!(found.iter().map(|it| &*it.0).collect::<Vec<_>>(), ["1", "b"]);
    assert_eq!(desk.scan(&trigger, &mut at).await.unwrap(), []);
    desk.add("a.ndjson", ":3}\n");
    assert_eq!(data(desk.scan(&trigger, &mut at).await.unwrap()), ["{\"id\":3}"]);
    // More than a page.
    let many: String = (0..2_500).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    desk.add("a.ndjson", &many);
    assert_eq!(desk.scan(&trigger, &mut at).await.unwrap().len(), 2_500);
}

#[tokio::test]
async fn a_file_that_is_moved_is_read_to_its_end_and_one_that_is_emptied_from_its_beginning() {
    let desk = Desk::new();
    let trigger = trigger(json!({ "path": "a.ndjson" }));
    let mut at = None;
    desk.add("a.ndjson", "1\n2\n");
    assert_eq!(data(desk.scan(&trigger, &mut at).await.unwrap()), ["1", "2"]);
    desk.add("a.ndjson", "3\n4");
    fs::rename(desk.path("a.ndjson"), desk.path("a.ndjson.1")).unwrap();
    desk.add("a.ndjson", "5\n");
    assert_eq!(data(desk.scan(&trigger, &mut at).await.unwrap()), ["3", "4", "5"]);
    // Emptied, and as long again before anybody looked.
    let file = fs::OpenOptions::new().write(true).truncate(true).open(desk.path("a.ndjson"));
    drop(file.unwrap());
    desk.add("a.ndjson", "6\n7\n");
    assert_eq!(data(desk.scan(&trigger, &mut at).await.unwrap()), ["6", "7"]);
    fs::remove_file(desk.path("a.ndjson")).unwrap();
    assert!(desk.scan(&trigger, &mut at).await.is_err());
    desk.add("a.ndjson", "8\n");
    assert_eq!(data(desk.scan(&trigger, &mut at).await.unwrap()), ["8"]);
}

#[tokio::test]
async fn csv_has_its_columns_in_the_first_line() {
    let desk = Desk::new();
    let fields =
        json!({ "path": "a.csv", "format": "csv", "separator": "semicolon", "keyAt": "/id" });
    let trigger = trigger(fields);
    let mut at = None;
    desk.add("a.csv", "id;note\r\n");
    assert_eq!(desk.scan(&trigger, &mut at).await.unwrap(), []);
    desk.add("a.csv", "1;\"two\nlines; \"\"quoted\"\"\"\r\n2;\"half");
    let found = desk.scan(&trigger, &mut at).await.unwrap();
    let data = "{\"id\":\"1\",\"note\":\"two\\nlines; \\\"quoted\\\"\"}".to_owned();
    assert_eq!(found, [("1".to_owned(), data)]);
    desk.add("a.csv", "\"\r\n");
    assert_eq!(desk.scan(&trigger, &mut at).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_line_that_cannot_be_read_holds_the_flow_or_becomes_text() {
    let desk = Desk::new();
    desk.add("a.ndjson", "{\"id\":1}\nnonsense\n{\"id\":2}\n");
    let strict = trigger(json!({ "path": "a.ndjson" }));
    let mut at = None;
    // What comes before it is found.
    let scan = Scan { want: Want::All, partition: None, cursor: at.clone() };
    let page = strict.poll(&desk.api, &scan).await.unwrap();
    assert_eq!(page.records.len(), 1);
    let scan = Scan { cursor: page.next, ..scan };
    let error = strict.poll(&desk.api, &scan).await.unwrap_err();
    assert!(matches!(&error, Error::Config { reason } if reason.contains("byte 9")), "{error}");
    let lenient = trigger(json!({ "path": "a.ndjson", "badLines": "text" }));
    let found = data(desk.scan(&lenient, &mut at).await.unwrap());
    assert_eq!(found, ["{\"id\":1}", "\"nonsense\"", "{\"id\":2}"]);
}

#[tokio::test]
async fn a_batch_is_appended_once_and_whole() {
    let desk = Desk::new();
    let fields = json!({ "path": "out.ndjson" });
    let batch = [("m1", json!({ "a": 1 })), ("m2", json!("x\ny"))];
    let done = desk.append(fields.clone(), &batch).await.unwrap();
    assert!(done.iter().all(|it| matches!(it, Some(Outcome::Done { .. }))), "{done:?}");
    let both = "{\"a\":1}\n\"x\\ny\"\n";
    assert_eq!(desk.read("out.ndjson"), both);
    // The same again, with something new behind it.
    let more = [batch[0].clone(), batch[1].clone(), ("m3", json!(3))];
    desk.append(fields.clone(), &more).await.unwrap();
    assert_eq!(desk.read("out.ndjson"), format!("{both}3\n"));
    // A crash left a part of a batch, and half a line of the ledger.
    desk.add("out.ndjson", "4\n{\"half");
    desk.add(".out.ndjson.towpath", "0123456789abcdef 99 m");
    desk.append(fields.clone(), &[("m4", json!(4)), ("m5", json!(5))]).await.unwrap();
    assert_eq!(desk.read("out.ndjson"), format!("{both}3\n4\n5\n"));
    desk.append(fields.clone(), &[("m4", json!(4)), ("m5", json!(5))]).await.unwrap();
    assert_eq!(desk.read("out.ndjson"), format!("{both}3\n4\n5\n"));
    // A crash between the first batch and its line: the ledger knows where the file began.
    let first = json!({ "path": "first.ndjson" });
    desk.append(first.clone(), &[("m1", json!(1))]).await.unwrap();
    let ledger = desk.read(".first.ndjson.towpath");
    let begun = ledger.lines().next().unwrap();
    fs::write(desk.path(".first.ndjson.towpath"), format!("{begun}\n")).unwrap();
    desk.append(first, &[("m1", json!(1)), ("m2", json!(2))]).await.unwrap();
    assert_eq!(desk.read("first.ndjson"), "1\n2\n");
    // A file that was there before, without the end of its last line.
    desk.add("there.ndjson", "0");
    desk.append(json!({ "path": "there.ndjson" }), &[("m1", json!(1))]).await.unwrap();
    assert_eq!(desk.read("there.ndjson"), "0\n1\n");
    // Moved away on purpose: a new file begins, and nothing of the old one comes again.
    fs::rename(desk.path("out.ndjson"), desk.path("out.1")).unwrap();
    desk.append(fields, &[("m5", json!(5)), ("m6", json!(6))]).await.unwrap();
    assert_eq!(desk.read("out.ndjson"), "6\n");
}

#[tokio::test]
async fn csv_is_appended_below_its_columns() {
    let desk = Desk::new();
    let fields = json!({ "path": "out.csv", "format": "csv", "columns": ["id", "note"] });
    let batch = [
        ("m1", json!({ "id": 1, "note": "a, \"b\"", "other": true })),
        ("m2", json!([1])),
        ("m3", json!({ "id": "2" })),
    ];
    let done = desk.append(fields.clone(), &batch).await.unwrap();
    assert!(matches!(&done[1], Some(Outcome::Rejected { code, .. }) if code == "noObject"));
    desk.append(fields, &[("m4", json!({ "id": 3, "note": null }))]).await.unwrap();
    assert_eq!(desk.read("out.csv"), "id,note\n1,\"a, \"\"b\"\"\"\n2,\n3,\n");
}

#[tokio::test]
async fn many_at_once_leave_whole_lines() {
    let desk = Arc::new(Desk::new());
    let tasks: Vec<_> = (0..8)
        .map(|batch| {
            let desk = desk.clone();
            tokio::spawn(async move {
                let ids: Vec<_> = (0..50).map(|at| format!("m{batch}-{at}")).collect();
                let batch: Vec<_> = ids.iter().map(|id| (id.as_str(), json!(id))).collect();
                desk.append(json!({ "path": "out.ndjson" }), &batch).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let text = desk.read("out.ndjson");
    let lines: std::collections::HashSet<_> = text.lines().collect();
    assert_eq!((text.lines().count(), lines.len()), (400, 400));
}

#[test]
fn nothing_outside_the_folder_is_named() {
    let connector = towpath_file::connector();
    for path in ["../a", "/etc/passwd", "a/../../b", ""] {
        let fields = json!({ "path": path });
        assert!((connector.find_trigger("read").unwrap().configure)(fields.clone()).is_err());
        assert!((connector.find_action("append").unwrap().configure)(fields).is_err());
    }
    let relative = BTreeMap::from([("folder".to_owned(), "here".to_owned())]);
    assert!(connector.account("files", None, relative).is_err());
    assert!(Path::new("/").is_absolute());
}
