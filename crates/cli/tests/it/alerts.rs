//! Alerts at the real binary: what fails is told by a flow, once, over restarts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::folder::Folder;

const PATIENCE: Duration = Duration::from_secs(60);

/// A chat and other systems in one: it takes every request, but for those to `/refused`.
struct Chat {
    address: String,
    said: Receiver<(String, Value)>,
}

impl Chat {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (say, said) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let say = say.clone();
                std::thread::spawn(move || answer(stream, &say));
            }
        });
        Self { address, said }
    }

    /// The next request to that path, the others passed over.
    #[track_caller]
    fn next(&self, path: &str) -> Value {
        loop {
            let (to, body) = self.said.recv_timeout(PATIENCE).unwrap();
            if to == path {
                return body;
            }
        }
    }
}

/// Answers the requests of a connection, and tells what they said.
fn answer(stream: TcpStream, say: &Sender<(String, Value)>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        while !line.trim().is_empty() {
            line.clear();
            reader.read_line(&mut line).ok()?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let status = if path == "/refused" { "401 Unauthorized" } else { "200 OK" };
        say.send((path, serde_json::from_slice(&body).ok()?)).ok()?;
        // What a system says may quote what it was sent.
        let body = "{\"message\":\"ada@example.com\"}";
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n");
        write!(stream, "{head}content-length: {length}\r\n\r\n{body}").ok()?;
    }
}

/// A service that runs until it is killed.
struct Served {
    child: Child,
    events: Receiver<Value>,
}

impl Served {
    fn start(folder: &Folder) -> Self {
        let mut command = folder.command(env!("CARGO_BIN_EXE_towpath"));
        command.args(["serve", "--json", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                drop(say.send(serde_json::from_str(&line).unwrap()));
            }
        });
        Self { child, events }
    }

    /// The next event of that kind; of runs, one of that flow.
    #[track_caller]
    fn until(&self, kind: &str, flow: Option<&str>) -> Value {
        loop {
            let event = self.events.recv_timeout(PATIENCE).unwrap();
            if event["event"] == kind && flow.is_none_or(|flow| event["flow"] == flow) {
                return event;
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A flow that tells what a trigger of the runtime's own gives.
fn telling(name: &str, trigger: &str, fields: &str) -> String {
    format!(
        "flow: {name}\ntrigger:\n  use: towpath.{trigger}\n  fields: {fields}\nsteps:\n  \
         - {{ id: said, use: http.request, account: chat, fields: {{ path: /{name} }} }}\n"
    )
}

/// A flow from a file to a path of the other system.
fn reading(name: &str, account: &str, path: &str) -> String {
    format!(
        "flow: {name}\ntrigger:\n  use: file.read\n  account: files\n  every: 1s\n  \
         retry: {{ attempts: 1 }}\n  fields: {{ path: {name}.ndjson, keyAt: /id }}\nsteps:\n  \
         - {{ id: sent, use: http.request, account: {account}, fields: {{ path: {path} }} }}\n"
    )
}

fn project(chat: &Chat) -> Folder {
    let folder = Folder::empty();
    folder.write("in/README", "");
    let files = serde_json::to_string(&folder.path("in")).unwrap();
    let url = format!("http://{}", chat.address);
    folder.write(
        "towpath.yaml",
        &format!(
            "accounts:\n  files: {{ connector: file, folder: {files} }}\n  \
             chat: {{ connector: http, baseUrl: \"{url}\" }}\n  \
             crm: {{ connector: http, baseUrl: \"{url}\" }}\n"
        ),
    );
    folder
}

#[test]
fn a_flow_that_fails_is_told_once_and_that_it_is_well_again() {
    let chat = Chat::new();
    let folder = project(&chat);
    folder.write("flows/orders.yaml", &reading("orders", "chat", "/orders"));
    let ops = telling("ops", "flowFailing", "{ after: 1s, recovered: true, flows: [orders] }");
    folder.write("flows/ops.yaml", &ops);
    folder.run(&["check"]).exits(0).says("0 mistakes, 0 warnings");

    let served = Served::start(&folder);
    let address = served.until("listening", None)["address"].as_str().unwrap().to_owned();
    let told = chat.next("/ops");
    for (key, value) in [
        ("flow", json!("orders")),
        ("state", json!("failing")),
        ("account", json!("files")),
        ("command", json!("towpath state show orders")),
    ] {
        assert_eq!(told[key], value, "{told}");
    }
    // Nobody else tells it anything.
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"POST /hooks/ops HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 404") || answer.starts_with("HTTP/1.1 404"), "{answer}");
    // Killed and started again it fails as before, and is not told again.
    drop(served);
    let served = Served::start(&folder);
    assert_eq!(served.until("ran", Some("orders"))["outcome"], "failed");
    drop(served);
    folder.write("in/orders.ndjson", "{\"id\":\"1\"}\n");
    let _served = Served::start(&folder);
    let well = chat.next("/ops");
    assert_eq!((&well["state"], &well["since"]), (&json!("recovered"), &told["since"]), "{well}");
}

#[test]
fn dead_letters_and_paused_accounts_are_told_without_a_word_of_the_records() {
    let chat = Chat::new();
    let folder = project(&chat);
    folder.write("in/doubtful.ndjson", "{\"id\":\"ada@example.com\"}\n{\"id\":\"2\"}\n");
    folder.write("in/customers.ndjson", "{\"id\":\"ada@example.com\"}\n");
    // There is no such value in the message, which refuses it.
    let doubtful = reading("doubtful", "chat", "\"/of/{number}\"");
    folder.write("flows/doubtful.yaml", &doubtful);
    folder.write("flows/customers.yaml", &reading("customers", "crm", "/refused"));
    folder.write("flows/letters.yaml", &telling("letters", "deadLettered", "{}"));
    folder.write("flows/paused.yaml", &telling("paused", "accountPaused", "{ accounts: [crm] }"));
    folder.run(&["check"]).exits(0).says("0 mistakes, 0 warnings");

    let _served = Served::start(&folder);
    let mut told = [Value::Null, Value::Null];
    while told.iter().any(Value::is_null) {
        match chat.said.recv_timeout(PATIENCE).unwrap() {
            (path, body) if path == "/letters" => told[0] = body,
            (path, body) if path == "/paused" => told[1] = body,
            _ => {}
        }
    }
    let [letters, paused] = told;
    assert_eq!((&letters["flow"], &letters["count"]), (&json!("doubtful"), &json!(2)));
    assert_eq!(letters["codes"], json!([{ "code": "path", "step": "sent", "count": 2 }]));
    assert_eq!((&paused["account"], &paused["state"]), (&json!("crm"), &json!("paused")));
    for told in [letters, paused] {
        assert!(!told.to_string().contains("ada"), "{told}");
    }
}
