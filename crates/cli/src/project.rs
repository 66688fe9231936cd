//! A project: towpath.yaml, flow files, secrets, and the engine that they make together.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use connector::{Connector, SystemClock};
use engine::{Engine, Options};
use flow::{Config, Finding, Flow};
use server::accounts::Logins;
use store::upkeep::{Looked, Retention};
use store::{MasterKey, MemoryStore, SledOptions, SledStore, Store};

use crate::accounts::Accounts;
use crate::args::Durability;
use crate::commands::connect;
use crate::engines;
use crate::exit::{Exit, Failed, Result};
use crate::folder;
use crate::hold;
use crate::keeper::Keeper;
use crate::keys;
use crate::opposite::Lying;
use crate::progress::say;
use crate::registry;
use crate::vault::Vault;

/// The configuration, unless another one is named.
pub(crate) const CONFIG: &str = "towpath.yaml";
/// Where state is kept unless towpath.yaml says otherwise, beside it.
const STORE: &str = ".towpath/store";

/// What `towpath.yaml` says, and what is found beside it.
pub(crate) struct Project {
    /// The folder of towpath.yaml; every path in it starts here.
    root: PathBuf,
    config_path: PathBuf,
    config: Option<Config>,
    connectors: Vec<Connector>,
}

impl Project {
    /// Reads towpath.yaml; a project without one has no accounts, and its flows can be checked.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self> {
        let (project, checked) = Self::load(path)?;
        checked.report()?;
        Ok(project)
    }

    /// Reads towpath.yaml, or the file that was named, and gives what is wrong with it.
    pub(crate) fn load(named: Option<&Path>) -> Result<(Self, Checked)> {
        let path = named.unwrap_or(Path::new(CONFIG));
        let connectors = registry::connectors();
        let root = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let config_path = path.to_owned();
        let (config, checked) = match std::fs::read_to_string(path) {
            Ok(text) => {
                let (config, findings) =
                    flow::config::check(&path.to_string_lossy(), &text, &connectors);
                (config, Checked { text, findings })
            }
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                (None, Checked::default())
            }
            Err(error) => {
                let error = anyhow!(error).context(format!("could not read {}", path.display()));
                return Err(Failed::config(error));
            }
        };
        Ok((Self { root, config_path, config, connectors }, checked))
    }

    /// A project whose towpath.yaml would have this text.
    pub(crate) fn of_text(path: &Path, text: &str) -> Result<Self> {
        let connectors = registry::connectors();
        let (config, findings) = flow::config::check(&path.to_string_lossy(), text, &connectors);
        Checked { text: text.to_owned(), findings }.report()?;
        let root = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        Ok(Self { root, config_path: path.to_owned(), config, connectors })
    }

    /// Checks one flow file and gives what is wrong with it.
    pub(crate) fn check(&self, path: &Path) -> Result<(Option<Flow>, Checked)> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))
            .map_err(Failed::config)?;
        let (flow, findings) = self.check_text(path, &text);
        Ok((flow, Checked { text, findings }))
    }

    /// Checks the text of a flow file.
    pub(crate) fn check_text(&self, path: &Path, text: &str) -> (Option<Flow>, Vec<Finding>) {
        let context = flow::Context { connectors: &self.connectors, config: self.config.as_ref() };
        flow::check(&path.to_string_lossy(), text, &context)
    }

    /// The file with the configuration, whether or not it is there.
    pub(crate) fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// The folder of towpath.yaml; every path in it starts here.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) const fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    pub(crate) fn connectors(&self) -> &[Connector] {
        &self.connectors
    }

    /// A command of towpath for this project, as a person types it.
    pub(crate) fn command(&self, command: &str) -> String {
        if self.config_path == Path::new(CONFIG) {
            return format!("towpath {command}");
        }
        format!("towpath {command} --config {}", self.config_path.display())
    }

    /// The flow that a file or name means, without a mistake.
    pub(crate) fn flow(&self, name: &str) -> Result<Flow> {
        self.flow_and_file(name).map(|(flow, ..)| flow)
    }

    /// The same with its file and the text of that.
    pub(crate) fn flow_and_file(&self, name: &str) -> Result<(Flow, PathBuf, String)> {
        let path = self.flow_file(name).ok_or_else(|| {
            Failed::config(anyhow!(
                "there is no flow file {name}, and no flow of that name in {}",
                self.folder().display()
            ))
        })?;
        let (flow, checked) = self.check(&path)?;
        checked.report()?;
        let mistakes = || Failed { exit: Exit::Findings, error: anyhow!("{name} has mistakes") };
        Ok((flow.ok_or_else(mistakes)?, path, checked.text))
    }

    /// The name of the flow that a file or name means; the flow need not be there any more.
    pub(crate) fn flow_name(&self, name: &str) -> Result<String> {
        let Some(path) = self.flow_file(name) else { return Ok(name.to_owned()) };
        Ok(self.check(&path)?.0.map_or_else(|| name.to_owned(), |flow| flow.name))
    }

    /// The flow files that the arguments mean: files, folders, or without any the project's.
    pub(crate) fn flow_files(&self, given: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let folder = [self.folder()];
        let given = if given.is_empty() { &folder[..] } else { given };
        let mut files = BTreeSet::new();
        for path in given {
            if !path.is_dir() {
                files.insert(path.clone());
                continue;
            }
            let listed = folder::flow_files(path)
                .with_context(|| format!("could not list {}", path.display()))
                .map_err(Failed::config)?;
            files.extend(listed);
        }
        if files.is_empty() {
            let folders = given.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
            let error = anyhow!("there is no flow file in {}", folders.join(", "));
            return Err(Failed::config(error));
        }
        Ok(files.into_iter().collect())
    }

    /// The folder of the project's flows.
    pub(crate) fn folder(&self) -> PathBuf {
        let flows = self.root.join("flows");
        if flows.is_dir() {
            flows
        } else if self.root.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            self.root.clone()
        }
    }

    /// The file that a path or the name of a flow means.
    pub(crate) fn flow_file(&self, name: &str) -> Option<PathBuf> {
        let folder = self.folder();
        let named = ["yaml", "yml"].map(|ending| folder.join(format!("{name}.{ending}")));
        let mut files = [PathBuf::from(name)].into_iter().chain(named);
        files.find(|path| path.is_file()).or_else(|| {
            // A file may be called otherwise than the flow in it.
            let is_it = |path: &PathBuf| {
                let checked = self.check(path).ok();
                checked.is_some_and(|(flow, _)| flow.is_some_and(|flow| flow.name == name))
            };
            self.flow_files(&[]).ok()?.into_iter().find(is_it)
        })
    }

    /// The folder of the store.
    pub(crate) fn store_path(&self) -> PathBuf {
        let path = self.config.as_ref().and_then(|config| config.store.clone());
        self.root.join(path.unwrap_or_else(|| PathBuf::from(STORE)))
    }

    /// Opens the project's store if there is one: who only looks makes none.
    pub(crate) async fn existing_store(&self) -> Result<Option<Arc<dyn Store>>> {
        if !SledStore::exists(&self.store_path()) {
            return Ok(None);
        }
        self.store(Durability::Full).await.map(Some)
    }

    /// Opens the project's store with the key from the environment or the key file.
    pub(crate) async fn store(&self, durability: Durability) -> Result<Arc<dyn Store>> {
        let (store, _) = self.sled_store(durability).await?;
        Ok(Arc::new(store))
    }

    /// The same, with its key.
    pub(crate) async fn sled_store(
        &self,
        durability: Durability,
    ) -> Result<(SledStore, MasterKey)> {
        keys::with_key(&self.store_path(), async |key| self.opened(key, durability).await).await
    }

    /// Opens the store to look at it: nothing is counted, migrated or cleared up.
    pub(crate) async fn looked_store(&self) -> Result<Arc<dyn Store>> {
        let open = async |key: &MasterKey| Looked::open(self.store_options(key)).await;
        keys::with_key(&self.store_path(), open).await.map(Looked::into_store)
    }

    async fn opened(
        &self,
        key: &MasterKey,
        durability: Durability,
    ) -> store::Result<(SledStore, MasterKey)> {
        let durability = match durability {
            Durability::Full => store::Durability::Full,
            Durability::None => store::Durability::None,
        };
        let options = SledOptions { durability, ..self.store_options(key) };
        let store = SledStore::open_watched(options, hold::store_points()).await?;
        store.retain(self.retention());
        Ok((store, key.clone()))
    }

    /// How the project's store is opened.
    pub(crate) fn store_options<'a>(&self, key: &'a MasterKey) -> SledOptions<'a> {
        SledOptions { path: self.store_path(), key, durability: store::Durability::Full }
    }

    /// How long things are kept, as towpath.yaml says.
    fn retention(&self) -> Retention {
        let Some(kept) = self.config.as_ref().map(|config| config.retention) else {
            return Retention::default();
        };
        Retention {
            dead_letters: kept.dead_letters,
            trail: kept.trail,
            trail_bytes: kept.trail_megabytes << 20,
            runs: kept.runs,
            history: kept.history,
            ..Retention::default()
        }
    }
}

/// An engine with everything that some flows need.
pub(crate) struct Workshop {
    pub(crate) engine: Arc<Engine>,
    /// What accounts that come later need.
    pub(crate) vault: Vault,
    /// Looks after the store meanwhile; nobody does where nothing is remembered.
    pub(crate) keeper: Option<Keeper>,
}

impl Workshop {
    /// Looks up secrets and opens the store.
    pub(crate) async fn open<'a>(
        project: &Project,
        flows: impl IntoIterator<Item = &'a Flow>,
        durability: Durability,
    ) -> Result<Self> {
        let flows: Vec<_> = flows.into_iter().collect();
        engines::warn(flows.iter().copied());
        // Secrets first: what is missing there should not need a store to be told.
        let accounts = project.accounts(flows.iter().copied(), None)?;
        if accounts.need_vault && !SledStore::exists(&project.store_path()) {
            project.accounts(flows.iter().copied(), Some(&Vault::default()))?;
        }
        let (store, key) = project.sled_store(durability).await?;
        Self::of(project, &flows, accounts, store, key).await
    }

    /// The same on a store that is open already, for a command that is soon over: nobody looks
    /// after the store meanwhile.
    pub(crate) async fn on<'a>(
        project: &Project,
        flows: impl IntoIterator<Item = &'a Flow>,
        store: Arc<dyn Store>,
    ) -> Result<Self> {
        let flows: Vec<_> = flows.into_iter().collect();
        engines::warn(flows.iter().copied());
        let accounts = project.accounts(flows.iter().copied(), None)?;
        Self::around(project, &flows, accounts, store, None).await
    }

    /// The same with a key of one's own.
    pub(crate) async fn with_key<'a>(
        project: &Project,
        flows: impl IntoIterator<Item = &'a Flow>,
        key: MasterKey,
    ) -> Result<Self> {
        let flows: Vec<_> = flows.into_iter().collect();
        engines::warn(flows.iter().copied());
        let accounts = project.accounts(flows.iter().copied(), None)?;
        let opened = project.opened(&key, Durability::Full).await;
        let (store, key) =
            opened.map_err(|error| Failed { exit: Exit::Store, error: error.into() })?;
        Self::of(project, &flows, accounts, store, key).await
    }

    /// An engine with these accounts that remembers nothing.
    pub(crate) fn in_memory(
        project: &Project,
        accounts: BTreeMap<String, engine::Account>,
    ) -> Self {
        let store = Arc::new(MemoryStore::new(MasterKey::generate()));
        let (connectors, clock) = (project.connectors.clone(), Arc::new(SystemClock));
        let engine = Arc::new(Engine::new(Options { connectors, accounts, store, clock }));
        Self { engine, vault: Vault::default(), keeper: None }
    }

    async fn of(
        project: &Project,
        flows: &[&Flow],
        accounts: Accounts,
        store: SledStore,
        key: MasterKey,
    ) -> Result<Self> {
        let keeper = Keeper::start(store.clone(), key, Arc::new(SystemClock)).await;
        let keeper = keeper.map_err(|error| Failed { exit: Exit::Store, error: error.into() })?;
        Self::around(project, flows, accounts, Arc::new(store), Some(keeper)).await
    }

    async fn around(
        project: &Project,
        flows: &[&Flow],
        mut accounts: Accounts,
        store: Arc<dyn Store>,
        keeper: Option<Keeper>,
    ) -> Result<Self> {
        let clock = Arc::new(SystemClock);
        let vault = Vault::open(&*store, project.secrets_used().into_keys()).await?;
        if accounts.need_vault {
            accounts = project.accounts(flows.iter().copied(), Some(&vault))?;
        }
        let needing: Vec<_> = accounts.ready.values().cloned().collect();
        let (connectors, accounts) = (project.connectors.clone(), accounts.ready);
        let engine = Arc::new(Engine::new(Options { connectors, accounts, store, clock }));
        if let Some((name, login)) = without_login(project, &engine, &needing).await?.pop() {
            let error = anyhow!("account \"{name}\" has no login: run `{login}`");
            return Err(Failed { exit: Exit::Unauthorized, error });
        }
        engine.knows_flows_by(Arc::new(Lying::of(project)));
        let workshop = Self { engine, vault, keeper };
        workshop.logins(project, connect::base_url(project)?.as_str());
        Ok(workshop)
    }

    /// Logins for the project's accounts, with people sent back to `base_url`. From now on who looks
    /// after the store answers by them.
    pub(crate) fn logins(&self, project: &Project, base_url: &str) -> Logins {
        let (store, tokens) = (self.engine.store().clone(), self.engine.tokens().clone());
        let (_, logins) = connect::logins_with(project, store, tokens, base_url);
        if let Some(keeper) = &self.keeper {
            keeper.answer_by(logins.clone());
        }
        logins
    }
}

/// The accounts that somebody has to log in for first, each with the command for that.
pub(crate) async fn without_login(
    project: &Project,
    engine: &Engine,
    accounts: &[engine::Account],
) -> Result<Vec<(String, String)>> {
    let mut without = vec![];
    for account in accounts.iter().map(|it| &it.account).filter(|it| it.login().is_some()) {
        let kept = engine.tokens().load(&account.identity()).await.map_err(Failed::config)?;
        if kept.is_none() {
            let name = account.name();
            without.push((name.to_owned(), project.command(&format!("account login {name}"))));
        }
    }
    Ok(without)
}

/// The findings about one file, with its text to point into.
#[derive(Default)]
pub(crate) struct Checked {
    text: String,
    pub(crate) findings: Vec<Finding>,
}

impl Checked {
    pub(crate) const fn new(text: String, findings: Vec<Finding>) -> Self {
        Self { text, findings }
    }

    /// Adds that the flow of the file `path` has the name of the one in `other`.
    pub(crate) fn add_same_name(&mut self, path: &Path, other: &Path) {
        let (path, other) = (path.to_string_lossy(), other.to_string_lossy());
        self.findings.extend(flow::same_name(&path, &self.text, &other));
    }

    /// The text that the findings are about.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_error()).count()
    }

    /// The findings as a person reads them.
    pub(crate) fn render(&self, colour: bool) -> String {
        flow::render(&self.findings, &self.text, colour)
    }

    /// Shows the findings; an error among them ends the command.
    pub(crate) fn report(&self) -> Result<()> {
        if !self.findings.is_empty() {
            say(&self.render(std::io::stderr().is_terminal()));
        }
        match self.errors() {
            0 => Ok(()),
            1 => Err(Failed { exit: Exit::Findings, error: anyhow!("1 mistake") }),
            errors => Err(Failed { exit: Exit::Findings, error: anyhow!("{errors} mistakes") }),
        }
    }
}
