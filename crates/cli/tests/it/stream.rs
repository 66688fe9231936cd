//! Two hundred flows run over and over, and streams of what happens have all of it: one that reads
//! along, one that reads late, and one that comes back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::folder::{FLOW, Folder, NAME, Vendors};

const FLOWS: usize = 200;
/// Every flow has run so often at least before the last look.
const RUNS: usize = 3;

/// An event as a stream tells it.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    id: String,
    number: u64,
    kind: String,
    data: Value,
}

/// A stream of server-sent events, taken out of its chunks.
struct Stream {
    answer: BufReader<TcpStream>,
    text: String,
}

impl Stream {
    /// Begins behind an event; of one that nobody knows everything is told that is kept.
    fn open(address: &str, token: &str, last: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            stream,
            "GET /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             last-event-id: {last}\r\n\r\n"
        )
        .unwrap();
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(answer.read_line(&mut line).unwrap() > 0, "the stream did not begin");
        }
        Self { answer, text: String::new() }
    }

    /// The next event with its number; one that is missed fails the test.
    fn next(&mut self) -> Told {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let mut lines = event.lines().filter_map(|line| line.split_once(": "));
                    lines.find_map(|(found, value)| (found == name).then(|| value.to_owned()))
                };
                let (Some(kind), Some(data)) = (field("event"), field("data")) else { continue };
                let data: Value = serde_json::from_str(&data).unwrap();
                match field("id") {
                    Some(id) => {
                        assert_ne!(kind, "missed", "{event}");
                        let number = id.split_once('-').unwrap().1.parse().unwrap();
                        return Told { id, number, kind, data };
                    }
                    // Whoever names an event of nobody's cannot be told how much was missed.
                    None => assert_eq!((kind.as_str(), &data["count"]), ("missed", &Value::Null)),
                }
            }
            let mut size = String::new();
            assert!(self.answer.read_line(&mut size).unwrap() > 0, "the stream ended");
            let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
            self.answer.read_exact(&mut chunk).unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap().strip_suffix("\r\n").unwrap());
        }
    }
}

/// A service that runs until the test ends.
struct Served(Child, String);

impl Served {
    fn start(folder: &Folder) -> Self {
        let mut command = folder.command(env!("CARGO_BIN_EXE_towpath"));
        command.args(["serve", "--json", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let event: Value = serde_json::from_str(&line).unwrap();
            let listening = event["event"] == "listening";
            listening.then(|| event["address"].as_str().unwrap().to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, address.unwrap())
    }

    fn ask(&self, method: &str, path: &str, token: &str) -> Value {
        let mut stream = TcpStream::connect(&self.1).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\ncontent-length: 0\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 20"), "{path}: {answer}");
        serde_json::from_str(body).unwrap()
    }

    /// All items of a list, page by page.
    fn all(&self, path: &str, token: &str) -> Vec<Value> {
        let (mut all, mut after) = (vec![], String::new());
        loop {
            let page = self.ask("GET", &format!("{path}?limit=500{after}"), token);
            all.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return all,
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn flow_of(told: &Told) -> String {
    told.data["flow"].as_str().unwrap().to_owned()
}

/// How many events of a kind there are, by flow.
fn counted(told: &[Told], kind: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in told.iter().filter(|event| event.kind == kind) {
        *counts.entry(flow_of(event)).or_insert(0) += 1;
    }
    counts
}

#[test]
fn two_hundred_flows_run_and_no_stream_drops_an_event() {
    let vendors = Vendors::with(5);
    let folder = Folder::empty();
    folder.write("towpath.yaml", &vendors.config("{ file: reach }", "{ file: tap }"));
    folder.write("reach", &vendors.sandbox.credentials().client_secret);
    folder.write("tap", &vendors.sandbox.credentials().passcode);
    for number in 0..FLOWS {
        let flow =
            FLOW.replace(NAME, &format!("flow-{number:03}")).replace("every: 5m", "every: 1s");
        // One in ten makes dead letters: CleverTap knows no such key.
        let flow = match number % 10 {
            0 => flow.replace("\"identity\": metadata", "\"identiti\": metadata"),
            _ => flow,
        };
        folder.write(&format!("flows/{number:03}.yaml"), &flow);
    }
    let served = Served::start(&folder);
    let token = folder.run(&["token", "create", "t", "--scope", "operate"]).exits(0).out;
    let token = token.trim();
    let mut along = Stream::open(&served.1, token, "nobody's");
    let mut late = Stream::open(&served.1, token, "nobody's");

    let mut told: Vec<Told> = vec![];
    let mut read_on = |told: &mut Vec<Told>| {
        let next = along.next();
        assert_eq!(next.number, told.len() as u64 + 1, "{next:?} behind {:?}", told.last());
        told.push(next);
    };
    let mut runs = BTreeMap::new();
    while runs.len() < FLOWS || runs.values().any(|runs| *runs < RUNS) {
        read_on(&mut told);
        let last = told.last().unwrap();
        if last.kind == "runEnded" {
            *runs.entry(flow_of(last)).or_insert(0) += 1;
        }
    }
    // No more runs begin, and those under way end: from then on the lists say what there was.
    for flow in runs.keys() {
        served.ask("POST", &format!("/api/v1/flows/{flow}/pause"), token);
    }
    let end = Instant::now() + Duration::from_secs(60);
    while !served.ask("GET", "/api/v1/flows?running=true", token)["items"]
        .as_array()
        .unwrap()
        .is_empty()
    {
        assert!(Instant::now() < end, "runs do not end");
        std::thread::yield_now();
    }
    let mut listed = BTreeMap::new();
    for flow in runs.keys() {
        let lines = served.all(&format!("/api/v1/flows/{flow}/runs"), token);
        listed.insert(flow.clone(), lines.len());
    }
    let total: usize = listed.values().sum();
    while counted(&told, "runEnded").values().sum::<usize>() < total {
        read_on(&mut told);
    }
    assert_eq!(counted(&told, "runEnded"), listed);
    assert_eq!(counted(&told, "runStarted"), listed);
    let mut letters = BTreeMap::new();
    for letter in served.all("/api/v1/dead-letters", token) {
        *letters.entry(letter["flow"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(letters.len(), FLOWS / 10);
    assert_eq!(counted(&told, "deadLetter"), letters);
    let committed = counted(&told, "committed");
    assert!(listed.keys().all(|flow| committed.contains_key(flow)), "{committed:?}");

    // Whoever did not read so far has everything all the same, and whoever comes back the rest.
    let again: Vec<Told> = told.iter().map(|_| late.next()).collect();
    assert!(again == told, "the late reader was told something else");
    let middle = told.len() / 2;
    let mut back = Stream::open(&served.1, token, &told[middle - 1].id);
    let rest: Vec<Told> = told[middle..].iter().map(|_| back.next()).collect();
    assert!(rest == told[middle..], "who came back was told something else");
}
