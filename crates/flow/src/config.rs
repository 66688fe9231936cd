//! `towpath.yaml`: what differs between test and production.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use connector::Connector;
use mapping::Engine;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::file::MappingFile;
use crate::finding::{Finding, Place, code};
use crate::source::Source;
use crate::yaml::{self, Entry, Kind, Node};
use crate::{duration, fields, secret, shape, suggest};

/// What `towpath.yaml` says, checked; without the file it is all empty.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The accounts by name.
    pub accounts: BTreeMap<String, Account>,
    /// What every expression sees as `$flow.vars`.
    pub vars: Map<String, Value>,
    /// Requests under way at once, by connector or account and then by class.
    pub limits: BTreeMap<String, BTreeMap<String, usize>>,
    /// What evaluates the expressions of flow files that do not choose themselves.
    pub engine: Engine,
    /// Where the state is kept, as written; `None` leaves it to the program.
    pub store: Option<PathBuf>,
    /// How long the store keeps what is over.
    pub retention: Retention,
    /// Where a service is reached.
    pub server: Server,
}

/// Where a service is reached, as written; what is left out is left to the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The address of its API and pages.
    pub listen: Option<Listen>,
    /// The address of what is public alone: webhooks and the OAuth callback.
    pub public_listen: Option<Listen>,
    /// The http or https URL under which others reach it.
    pub public_url: Option<String>,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// None.
    Off,
    /// This one.
    On(SocketAddr),
}

impl std::str::FromStr for Listen {
    type Err = String;

    /// Reads `off`, `127.0.0.1:7070`, `[::1]:7070` or `localhost:7070`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self::Off);
        }
        let numbers = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address = numbers.as_deref().unwrap_or(text).parse();
        address.map(Self::On).map_err(|_| {
            format!("`{text}` is no address with a port, such as 127.0.0.1:7070, and not `off`")
        })
    }
}

impl Config {
    /// All that it says beside the accounts.
    #[must_use]
    pub fn without_accounts(&self) -> Self {
        Self { accounts: BTreeMap::new(), ..self.clone() }
    }
}

/// How long, and how much, the store keeps of what is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Dead letters that were replayed or superseded.
    pub dead_letters: Duration,
    /// What became of each record.
    pub trail: Duration,
    /// The same, by size: so many MiB a flow.
    pub trail_megabytes: u64,
    /// The lines of each flow's runs.
    pub runs: usize,
    /// The snapshots of each flow's history.
    pub history: usize,
}

impl Default for Retention {
    fn default() -> Self {
        let month = Duration::from_secs(30 * 24 * 60 * 60);
        Self { dead_letters: month, trail: month, trail_megabytes: 64, runs: 100, history: 50 }
    }
}

/// Named credentials of a connector, as written: nothing has been looked up.
#[derive(Clone, Debug)]
pub struct Account {
    /// The connector's name.
    pub connector: String,
    /// What replaces the connector's own base URL.
    pub base_url: Option<Given>,
    /// The settings by name; those left out have a default.
    pub settings: BTreeMap<String, Given>,
    /// Where the account is written.
    pub place: Place,
}

/// The value of a setting, or where to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The value itself; never a secret's.
    Literal(String),
    /// The environment variable that holds it.
    Env(String),
    /// The file that holds it, as written.
    File(PathBuf),
    /// The name that it has in the project's sealed vault.
    Secret(String),
}

/// Whether a secret of the vault may be called so: letters, digits, `-`, `_` and `.`, at most 100.
pub fn is_secret_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=100).contains(&name.len()) && name.chars().all(fits)
}

/// What differs between test and production: accounts, variables, limits, the store.
#[derive(JsonSchema)]
#[schemars(rename = "Config", rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct ConfigFile {
    /// Named credentials, by the names that flow files use: each with its `connector` and that
    /// connector's settings.
    accounts: Option<BTreeMap<String, Map<String, Value>>>,
    /// Values that every expression sees as `$flow.vars`: what differs between test and production
    /// and is no secret.
    vars: Option<Map<String, Value>>,
    /// How many requests may be under way at once, by connector or account, then by limit class:
    /// `clevertap: { upload: 5 }`. Each connector has its own numbers for what is left out.
    #[schemars(with = "Option<BTreeMap<String, BTreeMap<String, std::num::NonZeroU32>>>")]
    limits: Option<()>,
    /// What evaluates the expressions of flow files that do not choose themselves.
    mapping: Option<MappingFile>,
    /// Where the state is kept.
    store: Option<StoreFile>,
    /// Where `towpath serve` is reached.
    server: Option<ServerFile>,
}

/// Where a service is reached.
#[derive(JsonSchema)]
#[schemars(rename = "Server", rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct ServerFile {
    /// The address of its API and pages, or `off`; `127.0.0.1:7070` unless given. Any other than
    /// loopback needs a token first (`towpath token create`).
    listen: Option<String>,
    /// The address of webhooks and the OAuth callback alone, which everybody may reach; `off` unless
    /// given: then they are at the address of the API.
    public_listen: Option<String>,
    /// The http or https URL under which others reach it, such as the one of a proxy before it.
    public_url: Option<String>,
}

/// Where the state is kept.
#[derive(JsonSchema)]
#[schemars(rename = "Store", rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct StoreFile {
    /// The folder of the database, from where this file is; `.towpath/store` unless given.
    path: Option<String>,
    /// How long what is over is kept. It is looked for once a day, when `towpath run` or
    /// `towpath serve` opens the store and while they run. Dead letters that somebody has to decide
    /// about are kept for ever.
    retention: Option<RetentionFile>,
}

/// How long what is over is kept.
#[derive(JsonSchema)]
#[schemars(rename = "Retention", rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct RetentionFile {
    /// Dead letters that were replayed or superseded, since they were refused last.
    #[schemars(regex(pattern = duration::PATTERN), extend("default" = "30d"))]
    dead_letters: Option<String>,
    /// What became of each record, for `towpath why`.
    #[schemars(regex(pattern = duration::PATTERN), extend("default" = "30d"))]
    trail: Option<String>,
    /// The same, by size: so many MiB a flow.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 64))]
    trail_megabytes: Option<u64>,
    /// The lines of each flow's runs.
    #[schemars(range(min = 1, max = 10_000), extend("default" = 100))]
    runs: Option<u64>,
    /// The snapshots of each flow's history.
    #[schemars(range(min = 1, max = 1_000), extend("default" = 50))]
    history: Option<u64>,
}

/// Checks a `towpath.yaml` called `label`: all findings, and the configuration as far as it can be
/// read. With an error among the findings it serves only to check flow files against: their
/// mistakes are then found in one go with these.
///
/// Environment variables, files and secrets of the vault are named, not read.
pub fn check(label: &str, text: &str, connectors: &[Connector]) -> (Option<Config>, Vec<Finding>) {
    let mut source = Source::new(label, text);
    // A file with nothing but comments is a configuration with nothing in it.
    let empty = text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
    if empty {
        return (Some(Config::default()), vec![]);
    }
    let config = yaml::read(&mut source).map(|root| {
        let schema = schemars::schema_for!(ConfigFile).to_value();
        shape::report(&mut source, &root, &schema, "the configuration", shape::KEYS);
        read(&mut source, &root, connectors)
    });
    (config, source.into_findings())
}

fn read(source: &mut Source<'_>, root: &Node, connectors: &[Connector]) -> Config {
    let mut config = Config::default();
    for entry in entries(root, "accounts") {
        if let Some(account) = account(source, entry, connectors) {
            config.accounts.insert(entry.key.clone(), account);
        }
    }
    if let Some(Value::Object(vars)) = root.get("vars").map(Node::to_json) {
        config.vars = vars;
    }
    for entry in entries(root, "limits") {
        let account = config.accounts.get(&entry.key).map(|account| account.connector.as_str());
        let name = account.unwrap_or(&entry.key);
        let Some(connector) = connectors.iter().find(|connector| connector.name() == name) else {
            let mut known: Vec<&str> = config.accounts.keys().map(String::as_str).collect();
            for connector in connectors {
                known.push(connector.name());
            }
            let hint = suggest::hint(&entry.key, known);
            let message = format!("there is no connector or account `{}`", entry.key);
            source.error(code::LIMIT, entry.key_span.clone(), message, hint);
            continue;
        };
        let mut classes = BTreeMap::new();
        for class in entry.value.entries().unwrap_or_default() {
            let known = || connector.limits().iter().map(|limit| limit.class);
            if !known().any(|known| known == class.key) {
                let message = format!("`{}` has no limit class `{}`", connector.name(), class.key);
                let hint = suggest::hint(&class.key, known());
                source.error(code::LIMIT, class.key_span.clone(), message, hint);
            } else if let Kind::Number(number) = &class.value.kind
                && let Some(number) = number.as_u64().and_then(|n| usize::try_from(n).ok())
            {
                classes.insert(class.key.clone(), number);
            }
        }
        config.limits.insert(entry.key.clone(), classes);
    }
    if let Some(engine) = root.get("mapping").and_then(|node| MappingFile::read(node).engine) {
        fields::doubtful_engine(source, &engine);
        config.engine = engine.value;
    }
    let path = root.get("store").and_then(|store| store.get("path")).and_then(Node::text);
    config.store = path.map(PathBuf::from);
    if let Some(kept) = root.get("store").and_then(|store| store.get("retention")) {
        config.retention = retention(source, kept);
    }
    if let Some(written) = root.get("server") {
        config.server = server(source, written);
    }
    config
}

fn server(source: &mut Source<'_>, written: &Node) -> Server {
    let mut listen = |key: &str| {
        let node = written.get(key)?;
        let text = node.text()?;
        let read = text.parse().map_err(|problem: String| {
            let message = format!("`{key}`: {problem}");
            source.error(code::BAD_SETTING, node.span.clone(), message, None);
        });
        read.ok()
    };
    let (listen, public_listen) = (listen("listen"), listen("publicListen"));
    let url = written.get("publicUrl").and_then(|node| Some((node, node.text()?)));
    let public_url = url.and_then(|(node, url)| match base_url_form(url) {
        Ok(()) => Some(url.to_owned()),
        Err((code, problem)) => {
            let message = format!("`publicUrl`: {problem}");
            source.error(code, node.span.clone(), message, None);
            None
        }
    });
    Server { listen, public_listen, public_url }
}

fn entries<'a>(root: &'a Node, key: &str) -> &'a [Entry] {
    root.get(key).and_then(Node::entries).unwrap_or_default()
}

fn account(source: &mut Source<'_>, entry: &Entry, connectors: &[Connector]) -> Option<Account> {
    let (name, node) = (&entry.key, &entry.value);
    let fields = node.entries()?;
    let names = || connectors.iter().map(Connector::name);
    let Some(written) = node.get("connector") else {
        let message = format!("account `{name}` needs `connector`");
        source.error(
            code::MISSING_KEY,
            entry.key_span.clone(),
            message,
            suggest::hint("", names()),
        );
        return None;
    };
    let Some(wanted) = written.text() else {
        let message = format!("`connector` is text, not {}", written.type_name());
        source.error(code::WRONG_TYPE, written.span.clone(), message, None);
        return None;
    };
    let Some(connector) = connectors.iter().find(|connector| connector.name() == wanted) else {
        let message = format!("there is no connector `{wanted}`");
        source.error(
            code::CONNECTOR,
            written.span.clone(),
            message,
            suggest::hint(wanted, names()),
        );
        return None;
    };
    if !connector.has_accounts() {
        let message = format!("`{wanted}` has no accounts");
        let hint = "leave it out: its triggers are used without one".to_owned();
        source.error(code::CONNECTOR, written.span.clone(), message, hint);
        return None;
    }
    let mut settings = BTreeMap::new();
    let mut base_url = None;
    for field in fields {
        match field.key.as_str() {
            "connector" => {}
            "baseUrl" => {
                base_url = given(source, field);
                if let Some(Given::Literal(url)) = &base_url
                    && let Err((code, problem)) = base_url_form(url)
                {
                    let message = format!("`baseUrl`: {problem}");
                    source.error(code, field.value.span.clone(), message, None);
                }
            }
            key => {
                let Some(setting) = connector.settings().iter().find(|known| known.name == key)
                else {
                    let own = connector.settings().iter().map(|known| known.name);
                    let hint = suggest::hint(key, own.chain(["connector", "baseUrl"]));
                    let message = format!("an account of `{wanted}` has no setting `{key}`");
                    source.error(code::UNKNOWN_SETTING, field.key_span.clone(), message, hint);
                    continue;
                };
                if setting.secret && !matches!(field.value.kind, Kind::Map(_) | Kind::Null) {
                    let message = format!("`{key}` is a secret and does not belong in a file");
                    let hint = format!(
                        "write `{key}: {{ secret: NAME }}` and run `towpath secret set NAME`; or \
                         `{{ env: {} }}`, or `{{ file: PATH }}`",
                        env(key)
                    );
                    source.error(code::SECRET_IN_CONFIG, field.value.span.clone(), message, hint);
                    settings.insert(key.to_owned(), Given::Literal(String::new()));
                    continue;
                }
                let Some(value) = given(source, field) else {
                    settings.insert(key.to_owned(), Given::Literal(String::new()));
                    continue;
                };
                if let Given::Literal(text) = &value
                    && let Err(problem) = (setting.check)(text.trim())
                {
                    let message = format!("`{key}`: {problem}");
                    let hint = setting.explained();
                    source.error(code::BAD_SETTING, field.value.span.clone(), message, hint);
                }
                settings.insert(key.to_owned(), value);
            }
        }
    }
    for setting in connector.settings() {
        if setting.default.is_none() && !settings.contains_key(setting.name) {
            let message = format!("account `{name}` needs `{}`", setting.name);
            let value =
                if setting.secret { format!("{{ secret: {name} }}") } else { "…".to_owned() };
            let hint = format!("`{}: {value}`: {}", setting.name, setting.explained());
            source.error(code::MISSING_SETTING, entry.key_span.clone(), message, hint);
        }
    }
    let place = source.place(entry.key_span.clone());
    Some(Account { connector: wanted.to_owned(), base_url, settings, place })
}

fn retention(source: &mut Source<'_>, written: &Node) -> Retention {
    let default = Retention::default();
    let mut age = |key: &str, default| {
        let Some(node) = written.get(key) else { return default };
        let Some(text) = node.text() else { return default };
        duration::parse(text).unwrap_or_else(|problem| {
            let hint = duration::meant(text).map_or_else(
                || "write `30d`, or hours as `12h`".to_owned(),
                |it| format!("write `{it}`"),
            );
            source.error(code::DURATION, node.span.clone(), problem, hint);
            default
        })
    };
    let (dead_letters, trail) =
        (age("deadLetters", default.dead_letters), age("trail", default.trail));
    let number = |key: &str, default: u64| match written.get(key).map(|node| &node.kind) {
        Some(Kind::Number(number)) => number.as_u64().unwrap_or(default),
        _ => default,
    };
    let count =
        |key: &str, default: usize| usize::try_from(number(key, default as u64)).unwrap_or(default);
    Retention {
        dead_letters,
        trail,
        trail_megabytes: number("trailMegabytes", default.trail_megabytes),
        runs: count("runs", default.runs),
        history: count("history", default.history),
    }
}

/// Reads text, `{ secret: NAME }`, `{ env: NAME }` or `{ file: PATH }`.
fn given(source: &mut Source<'_>, field: &Entry) -> Option<Given> {
    let node = &field.value;
    if let Some(text) = node.text() {
        return Some(Given::Literal(text.to_owned()));
    }
    let fail = |source: &mut Source<'_>, span: Range<usize>, message: String| {
        let hint = "write text, `{ secret: NAME }`, `{ env: NAME }` or `{ file: PATH }`";
        source.error(code::BAD_SETTING, span, message, hint.to_owned());
        None
    };
    let Some(entries) = node.entries() else {
        let message = format!("`{}` is text, not {}", field.key, node.type_name());
        return fail(source, node.span.clone(), message);
    };
    let [one] = entries else {
        let message = format!("`{}` names one source", field.key);
        return fail(source, node.span.clone(), message);
    };
    match (one.key.as_str(), one.value.text()) {
        ("env", Some(name)) if !name.is_empty() && !name.contains(['=', '\0', ' ', '$']) => {
            Some(Given::Env(name.to_owned()))
        }
        ("file", Some(path)) if !path.is_empty() => Some(Given::File(PathBuf::from(path))),
        ("secret", Some(name)) if is_secret_name(name) && !secret::has_token(name) => {
            Some(Given::Secret(name.to_owned()))
        }
        // What is no name may be the secret itself: it is not shown.
        ("secret", _) => {
            let message = format!("`secret` of `{}` is not the name of a secret", field.key);
            let hint = "give the value to `towpath secret set NAME`; the name has letters, digits, \
                        `-`, `_` and `.`, at most 100";
            source.error(code::BAD_SETTING, one.value.span.clone(), message, hint.to_owned());
            None
        }
        ("env" | "file", _) => {
            let message = format!("`{}` of `{}` is not a name", one.key, field.key);
            fail(source, one.value.span.clone(), message)
        }
        (key, _) => {
            let message = format!("`{}` cannot come from `{key}`", field.key);
            fail(source, one.key_span.clone(), message)
        }
    }
}

/// What is wrong with a base URL; one that holds credentials is not shown.
fn base_url_form(url: &str) -> Result<(), (&'static str, &'static str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or("");
    if url.contains('@') {
        Err((code::SECRET_IN_CONFIG, "credentials do not belong in a URL"))
    } else if rest.is_none() {
        Err((code::BAD_SETTING, "an http or https URL is needed"))
    } else if host.is_empty() {
        Err((code::BAD_SETTING, "it names no host"))
    } else if url.contains(['?', '#', ' ']) {
        Err((code::BAD_SETTING, "a base URL ends with its path"))
    } else {
        Ok(())
    }
}

/// The name of an environment variable for a setting: `CLIENT_SECRET`.
fn env(setting: &str) -> String {
    let mut name = String::new();
    for letter in setting.chars() {
        if letter.is_uppercase() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}
