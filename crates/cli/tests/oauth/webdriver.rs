//! A real Chromium, driven by ChromeDriver over the WebDriver protocol.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Where Debian's packages put both.
const CHROMIUM: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";

/// A browser that ends with the test.
pub(crate) struct Chromium {
    driver: Child,
    address: String,
    session: String,
    _profile: TempDir,
}

impl Chromium {
    /// Starts a browser without a window. `None` where there is none: that is said.
    pub(crate) fn start() -> Option<Self> {
        for program in [CHROMIUM, DRIVER] {
            if !Path::new(program).exists() {
                eprintln!(
                    "SKIPPED: no browser to test in: {program} is missing (Debian: apt-get install \
                     chromium chromium-driver)"
                );
                return None;
            }
        }
        let mut driver =
            Command::new(DRIVER).arg("--port=0").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.find(|line| line.contains("started successfully on port")).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let port = said.trim_end_matches('.').rsplit(' ').next().unwrap();
        let address = format!("127.0.0.1:{port}");
        let profile = TempDir::new().unwrap();
        let mut args: Vec<_> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]
        .map(str::to_owned)
        .into();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let asked = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": CHROMIUM, "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let begun = ask(&address, "POST", "/session", &asked).unwrap();
        let session = begun["sessionId"].as_str().unwrap().to_owned();
        Some(Self { driver, address, session, _profile: profile })
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        ask(&self.address, method, &path, body).unwrap_or_else(|problem| {
            panic!("{method} {path}: {problem}\nat {}", self.url_or_nothing())
        })
    }

    fn url_or_nothing(&self) -> String {
        let path = format!("/session/{}/url", self.session);
        ask(&self.address, "GET", &path, &Value::Null).map_or_else(|it| it, |it| it.to_string())
    }

    fn command(&self, name: &str, params: &Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", &json!({ "cmd": name, "params": params }))
    }

    /// Looks like a screen of this width, with light or dark colours.
    pub(crate) fn screen(&self, width: u32, dark: bool) {
        let size = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.command("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", &media);
    }

    pub(crate) fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    pub(crate) fn url(&self) -> String {
        self.ask("GET", "/url", &Value::Null).as_str().unwrap().to_owned()
    }

    fn find(&self, css: &str) -> String {
        let asked = json!({ "using": "css selector", "value": css });
        self.ask("POST", "/element", &asked)[ELEMENT].as_str().unwrap().to_owned()
    }

    pub(crate) fn click(&self, css: &str) {
        let element = self.find(css);
        self.ask("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Clicks what leads to another page, and waits until that is there.
    pub(crate) fn go(&self, css: &str) {
        self.script("window.isTheOldPage = true");
        self.click(css);
        let path = format!("/session/{}/execute/sync", self.session);
        let asked = json!({
            "script": "return !window.isTheOldPage && document.readyState === 'complete'", "args": [],
        });
        // While the page changes there is nothing to run a script in.
        while ask(&self.address, "POST", &path, &asked) != Ok(Value::Bool(true)) {
            std::thread::yield_now();
        }
    }

    /// Puts a text in the place of what a field holds.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.ask("POST", &format!("/element/{element}/clear"), &json!({}));
        self.ask("POST", &format!("/element/{element}/value"), &json!({ "text": text }));
    }

    pub(crate) fn text(&self, css: &str) -> String {
        let element = self.find(css);
        let text = self.ask("GET", &format!("/element/{element}/text"), &Value::Null);
        text.as_str().unwrap().to_owned()
    }

    pub(crate) fn script(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    pub(crate) fn source(&self) -> String {
        self.ask("GET", "/source", &Value::Null).as_str().unwrap().to_owned()
    }

    /// What the browser complained of in pages below `base` since the last time.
    pub(crate) fn complaints(&self, base: &str) -> Vec<String> {
        let log = self.ask("POST", "/se/log", &json!({ "type": "browser" }));
        let lines = log.as_array().into_iter().flatten();
        let lines = lines.filter_map(|line| line["message"].as_str().map(str::to_owned));
        // A page that says what is wrong has a status of its own, and nobody has an icon.
        let lines = lines.filter(|line| !line.contains("the server responded with a status"));
        lines.filter(|line| line.contains(base)).collect()
    }

    /// Keeps a picture of the whole page where the environment names a folder for that.
    pub(crate) fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("TOWPATH_TEST_PICTURES") else { return };
        let height = self.script("return document.documentElement.scrollHeight");
        let width = self.script("return window.innerWidth");
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let asked = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.command("Page.captureScreenshot", &asked);
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let path = format!("/session/{}", self.session);
        drop(ask(&self.address, "DELETE", &path, &Value::Null));
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// One question to the driver: its `value`, or what it says went wrong.
fn ask(address: &str, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let body = if method == "POST" { body.to_string() } else { String::new() };
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        answer.read_line(&mut line).unwrap();
        if let Some(said) = line.to_lowercase().strip_prefix("content-length:") {
            length = said.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body).unwrap();
    let mut answer: Value = serde_json::from_slice(&body).unwrap();
    let value = answer["value"].take();
    match value.get("error") {
        Some(error) if value.get("message").is_some() => {
            Err(format!("{error}: {}", value["message"].as_str().unwrap_or_default()))
        }
        _ => Ok(value),
    }
}
