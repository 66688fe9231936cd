//! Webhooks at the real binary: what was answered is delivered once, wherever the service is killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::folder::Folder;

const TOKEN: &str = "not-a-real-webhook-token";

const FLOW: &str = "
flow: orders
trigger:
  use: http.received
  account: hooks
  fields: { authentication: header, keyAt: /id, deliveryHeader: X-Delivery, largestBody: 2000 }
steps:
  - id: kept
    use: file.append
    account: files
    fields: { path: orders.ndjson }
";

fn project() -> Folder {
    let folder = Folder::empty();
    folder.write("out/README", "");
    let out = serde_json::to_string(&folder.path("out")).unwrap();
    let config = format!(
        "accounts:\n  hooks: {{ connector: http, webhookSecret: {{ file: token }} }}\n  \
         files: {{ connector: file, folder: {out} }}\n"
    );
    folder.write("towpath.yaml", &config);
    folder.write("token", TOKEN);
    folder.write("flows/orders.yaml", FLOW);
    folder
}

/// A service that runs until it is killed.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    /// Hears that it holds at its point.
    holds: Receiver<()>,
}

impl Served {
    pub(crate) fn start(folder: &Folder, hold: Option<&str>) -> Self {
        let mut command: Command = folder.command(env!("CARGO_BIN_EXE_towpath"));
        command.args(["serve", "--json", "--listen", "127.0.0.1:0"]);
        command.env("TOWPATH_HOLD_AT", hold.unwrap_or("none"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (say, holds) = channel();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in said.map_while(Result::ok) {
                if line.starts_with("towpath: holds at ") && say.send(()).is_err() {
                    return;
                }
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let event: Value = serde_json::from_str(&line).unwrap();
            let listening = event["event"] == "listening";
            listening.then(|| event["address"].as_str().unwrap().to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.unwrap(), holds }
    }

    fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a request and gives the status and the body of its answer; `None` if there is none.
pub(crate) fn ask(stream: &mut TcpStream, head: &str, body: &str) -> Option<(u16, String)> {
    let length = body.len();
    let request = format!("{head}host: localhost\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = 0;
    loop {
        line.clear();
        answer.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body).ok()?;
    Some((status, String::from_utf8(body).ok()?))
}

pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn order(id: &str) -> (String, String) {
    let head = format!(
        "POST /hooks/orders HTTP/1.1\r\ncontent-type: application/json\r\n\
         x-webhook-token: {TOKEN}\r\nx-delivery: {id}\r\n"
    );
    (head, format!("{{\"id\":\"{id}\"}}"))
}

/// The ids in the file, in its order.
fn delivered(folder: &Folder) -> Vec<String> {
    let text = std::fs::read_to_string(folder.path("out/orders.ndjson")).unwrap_or_default();
    let whole = text.lines().filter(|_| text.ends_with('\n') || text.is_empty());
    whole
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| line["id"].as_str().unwrap().to_owned())
        .collect()
}

fn wait_for(folder: &Folder, wanted: &BTreeSet<String>) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let found = delivered(folder);
        let there: BTreeSet<String> = found.iter().cloned().collect();
        if wanted.is_subset(&there) {
            return found;
        }
        let missing: Vec<_> = wanted.difference(&there).collect();
        assert!(Instant::now() < end, "answered and lost: {missing:?}");
        std::thread::yield_now();
    }
}

/// Four senders at once, and a kill once so many were answered; then all over again.
#[test]
fn a_kill_loses_nothing_that_was_answered_and_nothing_comes_twice() {
    let folder = project();
    let answered = Mutex::new(BTreeSet::new());
    for (round, enough) in [1, 7, 40, 120].into_iter().enumerate() {
        let mut served = Served::start(&folder, None);
        let address = served.address.clone();
        let begun = answered.lock().unwrap().len();
        std::thread::scope(|scope| {
            for sender in 0..4 {
                let (address, answered) = (&address, &answered);
                scope.spawn(move || {
                    let mut stream = connect(address);
                    for number in 0.. {
                        let id = format!("{round}-{sender}-{number}");
                        let (head, body) = order(&id);
                        // Who gets no answer asks no further: the service is gone.
                        let Some((status, _)) = ask(&mut stream, &head, &body) else { return };
                        assert_eq!(status, 202);
                        answered.lock().unwrap().insert(id);
                    }
                });
            }
            while answered.lock().unwrap().len() < begun + enough {
                std::thread::yield_now();
            }
            served.kill();
        });
    }
    let _served = Served::start(&folder, None);
    let answered = answered.into_inner().unwrap();
    let found = wait_for(&folder, &answered);
    let distinct: BTreeSet<_> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "something came twice");
}

/// Where a service is killed, and whether what was sent last may be delivered without an answer.
#[test]
fn a_sender_without_an_answer_sends_again_and_it_is_there_once() {
    for point in
        ["store.inbox.next:2", "store.inbox.kept:2", "store.head.next:1", "store.head.written:1"]
    {
        let folder = project();
        let served = Served::start(&folder, Some(point));
        let mut stream = connect(&served.address);
        stream.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
        let mut answered = BTreeSet::new();
        for id in ["a", "b"] {
            let (head, body) = order(id);
            if ask(&mut stream, &head, &body).is_some_and(|(status, _)| status == 202) {
                answered.insert(id.to_owned());
            }
        }
        served.holds.recv_timeout(Duration::from_secs(20)).expect(point);
        drop(served);
        let served = Served::start(&folder, None);
        let mut stream = connect(&served.address);
        for id in ["a", "b"] {
            let (head, body) = order(id);
            let (status, said) = ask(&mut stream, &head, &body).unwrap();
            assert_eq!(status, 202, "{point}");
            assert!(
                !answered.contains(id) || said.contains("\"repeated\":true"),
                "{point}: {said}"
            );
        }
        let both = ["a".to_owned(), "b".to_owned()].into();
        let mut found = wait_for(&folder, &both);
        found.sort();
        assert_eq!(found, ["a", "b"], "{point}");
    }
}

/// A sender is told when to come again: an account has no secret yet, and too much comes at once.
#[test]
fn what_cannot_be_taken_now_is_answered_503() {
    let folder = project();
    let config = folder.read("towpath.yaml");
    let out = serde_json::to_string(&folder.path("no-such-folder")).unwrap();
    let more =
        format!("  bare: {{ connector: http }}\n  gone: {{ connector: file, folder: {out} }}\n");
    folder.write("towpath.yaml", &format!("{config}{more}"));
    folder.write("flows/bare.yaml", &FLOW.replace("orders", "bare").replace("hooks", "bare"));
    let stuck =
        FLOW.replace("flow: orders", "flow: stuck").replace("account: files", "account: gone");
    folder.write("flows/stuck.yaml", &stuck);
    let large = FLOW.replace("flow: orders", "flow: large").replace("2000", "16777216");
    folder.write("flows/large.yaml", &large);
    let served = Served::start(&folder, None);
    let token = format!("content-type: application/json\r\nx-webhook-token: {TOKEN}\r\n");
    let head = format!("POST /hooks/bare HTTP/1.1\r\n{token}");
    let (status, said) = ask(&mut connect(&served.address), &head, "{\"id\":1}").unwrap();
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("\"unavailable\"") && !said.contains("webhookSecret"), "{said}");
    // What was taken and cannot be delivered yet is seen to wait.
    let (head, body) = order("waits");
    let (status, said) =
        ask(&mut connect(&served.address), &head.replace("orders", "stuck"), &body).unwrap();
    assert_eq!(status, 202, "{said}");
    let shown = folder.run(&["state", "show", "stuck"]).exits(0);
    shown.says("has not committed anything yet").says("1 in the inbox");
    // Each says how large its body will be, and has room kept for it until it came.
    let begin =
        format!("POST /hooks/large HTTP/1.1\r\nhost: x\r\n{token}content-length: 16777216\r\n\r\n");
    let mut senders: Vec<TcpStream> = (0..5).map(|_| connect(&served.address)).collect();
    for sender in &mut senders {
        sender.write_all(begin.as_bytes()).unwrap();
    }
    let (answers, answered) = channel();
    for mut sender in senders {
        let answers = answers.clone();
        std::thread::spawn(move || {
            let mut answer = [0; 4096];
            let length = sender.read(&mut answer).unwrap_or_default();
            drop(answers.send(String::from_utf8_lossy(&answer[..length]).into_owned()));
        });
    }
    let answer = answered.recv_timeout(Duration::from_secs(15)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"busy\""), "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
}

#[test]
fn every_answer_has_its_status() {
    let folder = project();
    let served = Served::start(&folder, None);
    let status = |head: &str, body: &str| ask(&mut connect(&served.address), head, body).unwrap();
    let json = "content-type: application/json\r\n";
    let token = format!("x-webhook-token: {TOKEN}\r\n");
    let post = |path: &str, headers: &str| format!("POST {path} HTTP/1.1\r\n{headers}");
    let good = format!("{json}{token}");
    for (expected, head, body) in [
        (202, post("/hooks/orders", &good), "{\"id\":1}"),
        (400, post("/hooks/orders", &good), "{"),
        (400, post("/hooks/orders", &good), "{}"),
        (401, post("/hooks/orders", json), "{\"id\":1}"),
        (403, post("/hooks/orders", &format!("{json}x-webhook-token: x\r\n")), "{\"id\":1}"),
        (404, post("/hooks/nowhere", &good), "{\"id\":1}"),
        (405, format!("PUT /hooks/orders HTTP/1.1\r\n{good}"), "{\"id\":1}"),
        (413, post("/hooks/orders", &good), &*"x".repeat(2001)),
        (415, post("/hooks/orders", &token), "{\"id\":1}"),
    ] {
        let (status, said) = status(&head, body);
        assert_eq!(status, expected, "{head}{said}");
        assert!(!said.contains(TOKEN), "{said}");
    }
    // Whoever guesses is told to wait; whoever proves who it is passes all the same.
    let wrong = post("/hooks/orders", &format!("{json}x-webhook-token: guess\r\n"));
    let guesses: Vec<_> = (0..12).map(|_| status(&wrong, "{\"id\":1}").0).collect();
    assert_eq!((guesses.first(), guesses.last()), (Some(&403), Some(&429)), "{guesses:?}");
    assert_eq!(status(&post("/hooks/orders", &good), "{\"id\":2}").0, 202);
}
