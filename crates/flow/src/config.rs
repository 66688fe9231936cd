//! `towpath.yaml`: what differs between test and production.

mod account;

use std::collections::BTreeMap;
use std::net::SocketAddr;
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
use crate::{duration, fields, shape, suggest};

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
        if let Some(account) = account::read(source, entry, connectors) {
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
    let public_url = url.and_then(|(node, url)| match account::base_url_form(url) {
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
