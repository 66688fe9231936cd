//! A system on loopback that echoes what it was sent, credentials included, in whatever it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What it gives to whom: by the grant, the tokens of a login.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// It runs until the test's process ends.
pub(crate) struct Echo {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Asked>>>,
}

/// A request, as far as it matters.
#[derive(Clone)]
struct Asked {
    method: String,
    path: String,
    /// What proves who asks, and the body: all that could hold a secret.
    said: String,
}

impl Echo {
    pub(crate) fn start(tokens: Tokens) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::<Mutex<Vec<Asked>>>::default();
        let (all, tokens) = (heard.clone(), Arc::new(tokens));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (all, tokens) = (all.clone(), tokens.clone());
                std::thread::spawn(move || converse(&stream, &all, &tokens));
            }
        });
        Self { url, heard }
    }

    /// Everything that could hold a secret of what it was sent.
    pub(crate) fn heard(&self) -> String {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|asked| format!("{}\n", asked.said)).collect()
    }
}

fn converse(mut stream: &TcpStream, heard: &Mutex<Vec<Asked>>, tokens: &Tokens) -> Option<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let mut parts = line.split(' ').map(str::to_owned);
    let (method, path) = (parts.next()?, parts.next()?);
    let (mut length, mut said) = (0, vec![]);
    loop {
        line.clear();
        lines.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match &*name.to_ascii_lowercase() {
            "content-length" => length = value.parse().ok()?,
            "host" | "accept" | "user-agent" | "content-type" => {}
            _ => said.push(value.to_owned()),
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    said.push(String::from_utf8(body).ok()?);
    // What proves who tells of an install stands in the query.
    if let Some((_, query)) = path.split_once('?').filter(|_| path.starts_with("/attribution?")) {
        said.push(query.to_owned());
    }
    let asked = Asked { method, path, said: said.join(" ") };
    heard.lock().unwrap().push(asked.clone());
    let again = heard.lock().unwrap().iter().filter(|it| it.said == asked.said).count() > 1;
    if asked.said.contains("event_type=none&") {
        return None;
    }
    let (status, head, body) = answer(&asked, tokens, again);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\nconnection: close\r\n\
         content-type: application/json\r\n{head}\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).ok()
}

fn answer(asked: &Asked, tokens: &Tokens, again: bool) -> (u16, &'static str, String) {
    let said = asked.said.as_str();
    let path = asked.path.split('?').next().unwrap_or_default();
    let good = |value: Value| (200, "", value.to_string());
    match (asked.method.as_str(), path) {
        ("POST", "/oauth/token.php") => token(said, tokens),
        // As PHP writes it: every slash escaped.
        ("GET", "/v3/groups.json/9") => {
            let body = json!({ "error": { "code": 401, "message": said } });
            (401, "", body.to_string().replace('/', "\\/"))
        }
        ("GET", "/v3/groups.json/1") => good(json!({ "id": "1", "name": "Newsletter" })),
        ("GET", "/v3/groups") => good(json!([{ "id": "1" }])),
        ("GET", "/v3/debug/whoami.json") => good(json!({ "id": "1" })),
        ("GET", "/v3/debug/validate.json") => good(json!(true)),
        ("GET", "/v3/debug/ttl.json") => good(json!({ "ttl": 3600 })),
        ("GET", "/v3/groups.json/1/receivers" | "/v3/groups/1/receivers") => {
            good(json!([receiver("1"), receiver("2")]))
        }
        ("POST", "/v3/receivers/filter.json") => good(json!([])),
        ("POST", "/1/upload") if said.contains("\"event\"") => {
            (401, "", json!({ "status": "fail", "error": said, "code": 401 }).to_string())
        }
        ("POST", "/1/upload") => good(json!({
            "status": "partial", "processed": 1, "unprocessed": [{
                "status": "fail", "code": 509, "error": format!("{said} Skipped record number : 1"),
                "record": { "identity": "1" },
            }],
        })),
        ("GET", "/attribution") => attribution(said, again),
        (_, path) => match path.rsplit('/').next() {
            Some("200") => good(json!({
                "plain": said, "base64": STANDARD.encode(said), "hex": hex(said),
                "percent": percent(said), "again": json!({ "json": said }).to_string(),
            })),
            // Once too many at once, then good.
            Some("429") if again => good(json!({})),
            Some("429") => (429, "retry-after: 0\r\n", json!({ "message": said }).to_string()),
            Some("400") => (400, "", json!({ "message": said }).to_string()),
            Some("404") => (404, "", said.to_owned()),
            Some("422") => (422, "", STANDARD.encode(said)),
            Some("500") => (500, "", hex(said)),
            Some("403") => (403, "", percent(said)),
            // Gateways show no more than the beginning.
            _ => {
                (401, "", json!({ "error": said.chars().take(30).collect::<String>() }).to_string())
            }
        },
    }
}

/// Answers as the name of the event says; a failure is none the second time.
fn attribution(said: &str, again: bool) -> (u16, &'static str, String) {
    let failure = |code: u16, error: &str| {
        (code, "", json!({ "status": "fail", "error": error, "code": code }).to_string())
    };
    match said.split_once("event_type=").and_then(|(_, rest)| rest.get(..3)) {
        Some("200") => (200, "", json!({ "status": "success", "echo": said }).to_string()),
        Some("400") => failure(400, said),
        Some("500") if again => (200, "", String::new()),
        Some("500") => failure(500, &hex(said)),
        _ => failure(401, said),
    }
}

/// Who proves to be the app `refused` gets nothing, and no login can be renewed.
fn token(said: &str, tokens: &Tokens) -> (u16, &'static str, String) {
    let client = said.split(' ').find_map(|part| STANDARD.decode(part).ok());
    let client = client.map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default();
    let refuse = |status, error: &str| {
        // The body first, then what proves who asks.
        let parts: Vec<&str> = said.split(' ').rev().collect();
        let body = json!({ "error": error, "error_description": parts.join(" ") });
        (status, "", body.to_string())
    };
    if said.contains("refused") || client.starts_with("refused") {
        return refuse(401, "invalid_client");
    }
    if said.contains("grant_type=refresh_token") || said.contains("code=CANARY7Q-bad") {
        return refuse(400, "invalid_grant");
    }
    let mut body = json!({
        "access_token": tokens.access, "token_type": "bearer", "expires_in": 3600,
    });
    if said.contains("grant_type=authorization_code") {
        body["access_token"] = json!(tokens.access.replace("access", "person"));
        body["refresh_token"] = json!(tokens.refresh);
    }
    (200, "", body.to_string())
}

fn receiver(id: &str) -> Value {
    json!({
        "id": id, "email": format!("{id}@example.com"), "registered": 1_700_000_000,
        "activated": 1_700_000_000, "deactivated": 0, "bounced": 0, "active": true,
    })
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
