//! A secret that is planted in every account comes out nowhere: no page, answer, event, metric, log,
//! dead letter, archive, file or process list has it, in whatever form a system echoes it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use crate::echo::{Echo, Tokens};
use crate::folder::Folder;
use crate::planted::{ALONE, BESIDE, MARK, canary, listed, plain, project};

/// Where the mark is in some bytes, in whichever form.
fn found(bytes: &[u8]) -> Option<String> {
    let mut forms = vec![MARK.to_owned(), MARK.to_lowercase()];
    for before in 0..3 {
        let text = STANDARD_NO_PAD.encode([&[0; 3][..before], MARK.as_bytes()].concat());
        let begin = (before * 8).div_ceil(6);
        let shared = usize::from(!(before + MARK.len()).is_multiple_of(3));
        forms.push(text.chars().skip(begin).take(text.len() - begin - shared).collect());
    }
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    forms.extend([hex.to_uppercase(), hex]);
    forms.into_iter().find_map(|form| {
        let at = bytes.windows(form.len()).position(|it| it == form.as_bytes())?;
        let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + 200)];
        Some(format!("as {form}: … {} …", String::from_utf8_lossy(around)))
    })
}

/// Collects where the mark came out, so that one run tells all places.
#[derive(Default)]
struct Leaks(Vec<String>);

impl Leaks {
    fn look(&mut self, place: &str, bytes: impl AsRef<[u8]>) {
        self.0.extend(found(bytes.as_ref()).map(|found| format!("{place} {found}")));
    }
}

fn command(folder: &Folder, args: &[&str]) -> std::process::Command {
    let mut command = folder.command(env!("CARGO_BIN_EXE_towpath"));
    command.args(args).env("TOWPATH_LOG", "trace");
    command.env("REFUSED", canary("refused")).env("BASIC", canary("basic"));
    command
}

/// Runs a command, and gives what it said on both channels.
fn said(folder: &Folder, args: &[&str], input: &str) -> String {
    let mut command = command(folder, args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let ended = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
}

/// Logs in by an address that is pasted, as the system would lead there with this code.
fn log_in(folder: &Folder, leaks: &mut Leaks, code: &str) -> String {
    let mut command = command(folder, &["account", "login", "person", "--paste"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = BufReader::new(child.stderr.as_mut().unwrap());
    let mut before = vec![];
    let is_it = |line: &String| line.trim().starts_with("http") && line.contains("state=");
    let url = said.lines().map(Result::unwrap).find(|line| {
        before.push(line.clone());
        is_it(line)
    });
    let url = url.unwrap_or_else(|| panic!("{before:#?}"));
    leaks.look("the address of a login", &url);
    leaks.look("the process list", processes(child.id()));
    let url = url::Url::parse(url.trim()).unwrap();
    let part: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let (back, state) = (&part["redirect_uri"], &part["state"]);
    let code: String = url::form_urlencoded::byte_serialize(code.as_bytes()).collect();
    writeln!(child.stdin.take().unwrap(), "{back}?code={code}&state={state}").unwrap();
    let ended = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
}

/// Runs commands, so many at once, and looks at what they say.
fn all(folder: &Folder, leaks: &mut Leaks, commands: &[Vec<&str>], at_once: usize) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let leaks = Mutex::new(leaks);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(args) = commands.get(at) else { return };
                    // Every other one as machines read it.
                    let json = if at.is_multiple_of(2) { &["--json"][..] } else { &[] };
                    let said = said(folder, &[args, json].concat(), "");
                    leaks.lock().unwrap().look(&format!("towpath {args:?}"), said);
                }
            });
        }
    });
}

/// The arguments of a process, as everybody on the machine may see them.
fn processes(id: u32) -> Vec<u8> {
    std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default()
}

/// A service, with everything that it says.
struct Served {
    child: Child,
    address: String,
    said: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Served {
    fn start(folder: &Folder) -> Self {
        let mut command = command(folder, &["serve", "--json", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        let keep = |from: Box<dyn Read + Send>| {
            let said = said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(from).lines().map_while(Result::ok) {
                    said.lock().unwrap().push_str(&format!("{line}\n"));
                }
            })
        };
        let out = keep(Box::new(child.stdout.take().unwrap()));
        let err = keep(Box::new(child.stderr.take().unwrap()));
        let address = until("the service listens", || {
            let said = said.lock().unwrap();
            let line = said.lines().find(|line| line.contains("\"event\":\"listening\""));
            let event: Value = serde_json::from_str(line.ok_or(said.as_str())?).unwrap();
            Ok(event["address"].as_str().unwrap().to_owned())
        });
        Self { child, address, said, readers: vec![out, err] }
    }

    /// Asks, and gives the whole answer.
    fn ask(&self, of: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let headers: String = headers.iter().map(|(k, v)| format!("{k}: {v}\r\n")).collect();
        let length = body.len();
        let head = format!("{of} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        write!(stream, "{head}{headers}content-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn json(&self, path: &str, token: &str) -> Value {
        let answer = self.ask(&format!("GET {path}"), &[("authorization", token)], "");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        serde_json::from_str(body).unwrap()
    }

    /// Ends it by a signal, and gives all that it said.
    fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(
            std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success()
        );
        self.child.wait().unwrap();
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        std::mem::take(&mut self.said.lock().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until something is there; meanwhile it is said what is.
#[track_caller]
fn until<T>(what: &str, mut there: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match there() {
            Ok(there) => return there,
            Err(is) => assert!(Instant::now() < end, "{what}: still only {is}"),
        }
        std::thread::yield_now();
    }
}

/// Sends records to a webhook.
fn send(served: &Served, name: &str, statuses: &[&str]) {
    let items = statuses.iter().map(|it| json!({ "id": format!("{name}-{it}"), "status": it }));
    let items: Vec<_> = items.collect();
    let body = json!({ "items": items }).to_string();
    let secret = canary("hooks");
    let proof = match name {
        "header" | "told" => ("x-webhook-token", secret),
        "basic" => {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("ada:{secret}"));
            ("authorization", format!("Basic {pair}"))
        }
        _ => {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
            let signed = ring::hmac::sign(&key, body.as_bytes());
            let hex: String = signed.as_ref().iter().map(|it| format!("{it:02x}")).collect();
            ("x-signature", hex)
        }
    };
    let headers = [("content-type", "application/json"), (proof.0, proof.1.as_str())];
    let answer = served.ask(&format!("POST /hooks/in-{name}"), &headers, &body);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

/// Every path that the API document has a GET for, with every name that there is.
fn routes(served: &Served, token: &str) -> Vec<String> {
    let list = |path: &str, field: &str| -> Vec<String> {
        let page = served.json(path, token);
        let items = page["items"].as_array().unwrap().iter();
        items.map(|it| it[field].as_str().unwrap().to_owned()).collect()
    };
    let letters = list("/api/v1/dead-letters?limit=500", "id");
    let names = BTreeMap::from([
        ("flow", list("/api/v1/flows", "flow")),
        ("name", list("/api/v1/accounts", "account")),
        ("connector", list("/api/v1/connectors", "connector")),
        ("id", letters),
    ]);
    let document = served.json("/api/v1/openapi.json", token);
    let paths = document["paths"].as_object().unwrap().iter();
    let paths = paths.filter(|(path, of)| {
        of.get("get").is_some() && !matches!(path.as_str(), "/api/v1/events" | "/api/v1/why")
    });
    let mut all = vec![];
    for (path, _) in paths {
        match path.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            None => all.push(path.clone()),
            Some(_) if path.starts_with("/hooks/") => {}
            Some((name, _)) => {
                all.extend(names[name].iter().map(|it| path.replace(&format!("{{{name}}}"), it)));
            }
        }
    }
    all.extend(
        ["header-400", "basic-422", "hmac-500", "told-none", "1"]
            .map(|key| format!("/api/v1/why?record={key}")),
    );
    all
}

/// Walks through the pages as a browser does, tests each account, and begins a login.
fn pages(served: &Served, folder: &Folder, leaks: &mut Leaks) -> usize {
    let link = said(folder, &["open"], "");
    let link = link.split_whitespace().find(|it| it.contains("/login?code=")).unwrap().to_owned();
    let (_, path) = link.split_once(&served.address).unwrap();
    let signed = served.ask(&format!("GET {path}"), &[], "");
    let cookie = signed.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let part = |page: &str, before: &str| -> Vec<String> {
        let parts = page.split(before).skip(1);
        parts.map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&")).collect()
    };
    let (mut known, mut next) = (BTreeSet::new(), vec!["/".to_owned(), "/login".to_owned()]);
    while let Some(path) = next.pop() {
        if !path.starts_with('/') || !known.insert(path.clone()) {
            continue;
        }
        let page = served.ask(&format!("GET {path}"), &[("cookie", &cookie)], "");
        leaks.look(&format!("the page {path}"), &page);
        next.extend(part(&page, "href=\"").into_iter().chain(part(&page, "src=\"")));
        let csrf = part(&page, "name=\"csrf\" value=\"").into_iter().next().unwrap_or_default();
        for action in part(&page, "action=\"") {
            let harmless = action.ends_with("/test") || action.ends_with("/login");
            if harmless && action.starts_with("/accounts/") {
                let headers = [
                    ("cookie", cookie.as_str()),
                    ("sec-fetch-site", "same-origin"),
                    ("content-type", "application/x-www-form-urlencoded"),
                ];
                let page = served.ask(&format!("POST {action}"), &headers, &format!("csrf={csrf}"));
                assert!(page.starts_with("HTTP/1.1 200"), "{action}: {page}");
                leaks.look(&format!("the page of {action}"), &page);
            }
        }
        // A form that is refused is shown again with what was entered, but for the secret.
        if let Some((_, connector)) = path.split_once("/accounts/new?connector=") {
            let form =
                [("csrf", csrf.as_str()), ("connector", connector), ("name", "no good name")];
            let secrets = ["passcode", "clientSecret", "bearerToken", "password", "apiKey"];
            let secret = canary("form");
            let form = form.into_iter().chain(secrets.map(|name| (name, secret.as_str())));
            let body =
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            let headers = [
                ("cookie", cookie.as_str()),
                ("sec-fetch-site", "same-origin"),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            let page = served.ask("POST /accounts", &headers, &body);
            assert!(page.starts_with("HTTP/1.1 422"), "{connector}: {page}");
            leaks.look(&format!("the form of {connector}"), &page);
        }
    }
    known.len()
}

#[test]
fn a_secret_of_an_account_comes_out_nowhere() {
    let mut leaks = Leaks::default();
    let tokens = Tokens { access: canary("access"), refresh: canary("refresh") };
    let echo = Echo::start(tokens);
    let folder = project(&echo);
    for name in ["reach", "bearer", "hooks"] {
        leaks.look("secret set", said(&folder, &["secret", "set", name], &canary(name)));
    }
    leaks.look("secret set", said(&folder, &["secret", "set", "token"], &plain("token")));
    // A login whose code is refused, and one that is kept.
    let bad = log_in(&folder, &mut leaks, &canary("bad-code"));
    assert!(bad.contains("invalid_grant"), "{bad}");
    leaks.look("a login that is refused", bad);
    let good = log_in(&folder, &mut leaks, &canary("code"));
    assert!(good.contains("person: logged in"), "{good}");
    leaks.look("a login", good);

    let served = Served::start(&folder);
    leaks.look("the process list", processes(served.child.id()));
    let token = said(&folder, &["token", "create", "watcher", "--scope", "admin"], "");
    let token = token.lines().find(|line| line.starts_with("towpath_")).unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let mut events = TcpStream::connect(&served.address).unwrap();
    write!(events, "GET /api/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\n\r\n")
        .unwrap();
    let events = std::thread::spawn(move || {
        let mut told = vec![];
        // It is cut when the service ends.
        drop(events.read_to_end(&mut told));
        told
    });

    for name in ["header", "basic", "hmac"] {
        send(&served, name, &["200", "400", "404", "422", "429", "500"]);
    }
    // One is taken, one only at the second try, one is refused, one is never answered.
    send(&served, "told", &["200", "500", "400", "none"]);
    let letters = |wanted: usize| {
        until("the dead letters", || {
            let page = served.json("/api/v1/dead-letters?limit=500", &bearer);
            let letters = page["items"].as_array().unwrap().clone();
            let of = |it: &Value| format!("{} {} {}", it["flow"], it["step"], it["code"]);
            let shown = || letters.iter().map(of).collect::<Vec<_>>().join("\n");
            if letters.len() >= wanted { Ok(letters.clone()) } else { Err(shown()) }
        })
    };
    // Of each webhook all six: the second step refuses what the first one took. Of the poll one, and
    // of what is told of one what is refused and what is in doubt.
    letters(21);
    // What pauses an account, or stops a flow, comes last.
    for (name, status) in [("header", "401"), ("basic", "403"), ("hmac", "401"), ("told", "401")] {
        send(&served, name, &[status]);
        // What is in doubt has it wait a while, unless somebody says so.
        let run = format!("POST /api/v1/flows/in-{name}/run");
        served.ask(&run, &[("authorization", &bearer)], "");
    }
    let run = "POST /api/v1/flows/poll-events/run";
    let asked = served.ask(run, &[("authorization", &bearer)], "");
    assert!(asked.starts_with("HTTP/1.1 202"), "{asked}");
    let paused = |wanted: &[&str]| {
        until("the accounts are paused", || {
            let page = served.json("/api/v1/accounts?paused=true", &bearer);
            let items = page["items"].as_array().unwrap().iter();
            let names: BTreeSet<_> = items.filter_map(|it| it["account"].as_str()).collect();
            if wanted.iter().all(|name| names.contains(name)) {
                Ok(())
            } else {
                Err(format!("{names:?}"))
            }
        });
    };
    paused(&["tap"]);
    // It pauses `reach`, by which the events are read.
    let body = "{\"email\":\"ada@example.com\"}";
    served.ask("POST /hooks/upsert", &[("content-type", "application/json")], body);
    paused(&["bearer", "key", "partner", "person", "reach", "refused"]);

    let routes = routes(&served, &bearer);
    assert!(routes.len() > 60, "{routes:?}");
    for path in &routes {
        let answer = served.ask(&format!("GET {path}"), &[("authorization", &bearer)], "");
        // Most systems call nobody: their accounts have no hooks to tell of.
        let none = path.ends_with("/hooks") && answer.starts_with("HTTP/1.1 422");
        assert!(none || answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        leaks.look(&format!("GET {path}"), answer);
    }
    assert!(pages(&served, &folder, &mut leaks) > 12);

    let ids: Vec<String> =
        letters(21).iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    let mut commands = listed(BESIDE);
    commands.extend(ids.iter().map(|id| vec!["dead-letters", "show", id]));
    all(&folder, &mut leaks, &commands, 6);
    leaks.look("what the service says", served.stop());
    let told = String::from_utf8(events.join().unwrap()).unwrap();
    for event in ["retrying", "deadLetter", "account", "runEnded"] {
        assert!(told.contains(&format!("event: {event}\n")), "no {event}: {told}");
    }
    leaks.look("the events", told);
    // Without a service the store is opened by each command itself.
    let mut commands = listed(ALONE);
    commands.insert(0, vec!["dead-letters", "show", &ids[0]]);
    all(&folder, &mut leaks, &commands, 1);
    // A secret that stands where none belongs is refused, and not shown to do so.
    let open = folder.read("towpath.yaml").replace("{ file: tap }", &format!("{MARK}-open"));
    folder.write("wrong/towpath.yaml", &open);
    let refused = said(&folder, &["check", "--config", "wrong/towpath.yaml"], "");
    assert!(refused.contains("passcode"), "{refused}");
    leaks.look("a finding", refused);
    folder.write("wrong/towpath.yaml", "");

    let planted = ["person", "key", "tap", "partner"].map(|name| folder.path(name));
    let mut files = 0;
    for file in folder.files("").into_iter().filter(|file| !planted.contains(file)) {
        leaks.look(&file.display().to_string(), std::fs::read(&file).unwrap());
        files += 1;
    }
    assert!(files > 15 && folder.path("all.towpath").exists());
    assert!(folder.path(".towpath/store.audit.log").exists());

    // Each was sent to its system, which echoed it; and what is planted is found in every form.
    let heard = echo.heard();
    let redactor = |secret: &str| {
        let redactor = connector::Redactor::new([connector::Secret::new(secret)]);
        redactor.redact(&heard) != heard
    };
    let mut secrets = [
        "reach", "refused", "person", "bearer", "basic", "key", "code", "bad-code", "access",
        "refresh",
    ]
    .map(canary)
    .to_vec();
    secrets.extend(["tap", "partner", "token"].map(plain));
    for secret in secrets {
        assert!(redactor(&secret), "{secret} was never sent");
    }
    for form in [
        canary("x"),
        canary("x").to_lowercase(),
        STANDARD_NO_PAD.encode(canary("x")),
        STANDARD_NO_PAD.encode(format!("u:{}", canary("x"))),
        STANDARD_NO_PAD.encode(format!("us:{}", canary("x"))),
    ] {
        assert!(found(form.as_bytes()).is_some(), "{form}");
    }
    assert_eq!(echo.heard().matches("event_type=500&").count(), 2, "tried again");
    assert_eq!(echo.heard().matches("event_type=none&").count(), 1, "never sent again");
    assert!(leaks.0.is_empty(), "{} places:\n{}", leaks.0.len(), leaks.0.join("\n\n"));
}
