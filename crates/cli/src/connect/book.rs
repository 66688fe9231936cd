//! The accounts of a project as server and commands see them: listed, added, tested, removed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use connector::{
    Api, Clock, Connector, Registered, Secret, Services, Setting, Tested, Tokens, Unkept, Unlimited,
};
use engine::{AccountState, Answer, Handle, Request};
use server::accounts::{Added, Failed, Host, Lacking, Line, Login, New, Refusal, Removed, words};
use store::Store;

use super::mentions::flows_of;
use super::written::{self, Value};
use crate::project::{CONFIG, Project};
use crate::scaffold::{self, kebab};
use crate::vault::{self, Vault};

/// No name of an account is longer: those of its secrets begin with it.
const LONGEST: usize = 60;

/// The accounts of one project. towpath.yaml is read anew for each question: a person may edit it.
pub(crate) struct Book {
    config: Option<PathBuf>,
    connectors: Vec<Connector>,
    store: Arc<dyn Store>,
    tokens: Arc<dyn Tokens>,
    clock: Arc<dyn Clock>,
    /// Held while towpath.yaml is rewritten, so that no change is lost to another one.
    writing: tokio::sync::Mutex<()>,
}

impl Book {
    pub(crate) fn new(
        project: &Project,
        store: Arc<dyn Store>,
        tokens: Arc<dyn Tokens>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // A file that nobody named need not be there.
        let config = project.config_path();
        let config = (config != Path::new(CONFIG)).then(|| config.to_owned());
        let connectors = crate::registry::connectors();
        Self { config, connectors, store, tokens, clock, writing: tokio::sync::Mutex::default() }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(super) fn project(&self) -> Result<Project, Refusal> {
        let (project, checked) = Project::load(self.config.as_deref())
            .map_err(|failed| Refusal::Other(format!("{:#}", failed.error)))?;
        if checked.errors() > 0 {
            let (file, check) = (project.config_path().display(), project.command("check"));
            return Err(Refusal::Other(format!("{file} has mistakes: `{check}` shows them")));
        }
        Ok(project)
    }

    fn connector(&self, name: &str) -> Option<&Connector> {
        self.connectors.iter().find(|it| it.name() == name)
    }

    /// An account with its secrets.
    async fn account(&self, project: &Project, name: &str) -> Result<engine::Account, Refusal> {
        if project.config().is_none_or(|config| !config.accounts.contains_key(name)) {
            return Err(no_such(project, name));
        }
        let vault = Vault::open(&*self.store, project.secrets_used().into_keys()).await;
        let vault = vault.map_err(|failed| Refusal::Other(format!("{:#}", failed.error)))?;
        let account = project.account(name, Some(&vault));
        let account = account.map_err(|failed| Refusal::Other(format!("{:#}", failed.error)))?;
        account.ok_or_else(|| no_such(project, name))
    }

    fn api(&self, account: connector::Account, tokens: Arc<dyn Tokens>) -> Result<Api, Refusal> {
        let connector = self.connector(account.connector());
        let connector = connector.ok_or_else(|| Refusal::Other("no such connector".to_owned()))?;
        // No limiter: a person waits, and a paused account is tested to end its pause.
        let limiter = Arc::new(Unlimited);
        let services = Services { clock: self.clock.clone(), limiter, tokens };
        Api::new(connector, account, &BTreeMap::new(), services).map_err(Refusal::of_call)
    }

    async fn states(&self) -> Result<BTreeMap<String, AccountState>, Refusal> {
        let asked = Handle::new(self.store.clone()).ask(Request::Accounts).await;
        match asked.map_err(|error| Refusal::Other(error.to_string()))? {
            Answer::Accounts { accounts } => {
                Ok(accounts.into_iter().map(|state| (state.account.clone(), state)).collect())
            }
            _ => Ok(BTreeMap::new()),
        }
    }

    async fn line(&self, project: &Project, name: &str) -> Result<Line, Refusal> {
        let connector = project.config().and_then(|config| config.accounts.get(name));
        let connector = connector.map(|account| account.connector.clone()).unwrap_or_default();
        let mut line = Line {
            account: name.to_owned(),
            connector,
            login: Login::NotNeeded,
            expires: None,
            paused: None,
            held: None,
            flows: vec![],
        };
        // Where a secret is missing nothing is known of the login; the account is listed anyway.
        let Ok(account) = self.account(project, name).await else { return Ok(line) };
        let needed = account.account.login().is_some();
        let api = self.api(account.account, self.tokens.clone())?;
        let state = api.login_state().await.map_err(Refusal::of_call)?;
        line.expires = state.and_then(|state| state.expires);
        if needed {
            line.login = match state {
                None => Login::Missing,
                Some(state) if state.renewing => Login::Doubtful,
                Some(state) if state.renewable => Login::Renewed,
                Some(_) => Login::UntilItEnds,
            };
        }
        Ok(line)
    }

    /// Rewrites towpath.yaml, if the new text says what is wanted and nothing else.
    async fn rewrite(
        &self,
        project: &Project,
        text: Option<String>,
        wanted: &BTreeSet<String>,
        by_hand: &str,
    ) -> Result<(), Refusal> {
        let path = project.config_path();
        let good = text.filter(|text| {
            let (config, findings) =
                flow::config::check(&path.to_string_lossy(), text, &self.connectors);
            let names = |config: flow::Config| config.accounts.into_keys().collect::<BTreeSet<_>>();
            !findings.iter().any(flow::Finding::is_error)
                && config.map(names).as_ref() == Some(wanted)
        });
        let Some(text) = good else {
            return Err(Refusal::Other(format!(
                "the accounts of {} are written in a form that is not changed here: {by_hand}",
                path.display()
            )));
        };
        write(path, &text)
            .map_err(|error| Refusal::Other(format!("could not write {}: {error}", path.display())))
    }

    /// Keeps the secrets of an account under names of their own, and says what stands for each
    /// setting in the file.
    async fn keep(
        &self,
        project: &Project,
        connector: &Connector,
        new: &New,
        kept: &mut Vec<String>,
    ) -> Result<Vec<(String, Value)>, Refusal> {
        let taken = project.secrets_used();
        let mut settings = vec![];
        for setting in connector.settings() {
            let value = new.settings.get(setting.name).map(|value| value.trim());
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            if !setting.secret {
                if setting.default != Some(value) {
                    settings.push((setting.name.to_owned(), Value::Text(value.to_owned())));
                }
                continue;
            }
            let mut name = format!("{}-{}", new.name, kebab(setting.name));
            while taken.contains_key(name.as_str()) {
                name.push_str("-2");
            }
            let secret = Secret::new(value);
            let put = vault::put(&*self.store, &name, &secret, self.clock.now()).await;
            put.map_err(|failed| Refusal::Other(format!("{:#}", failed.error)))?;
            kept.push(name.clone());
            settings.push((setting.name.to_owned(), Value::Secret(name)));
        }
        Ok(settings)
    }

    async fn forget(&self, secrets: &[String]) {
        for name in secrets {
            if let Err(failed) = vault::remove(&*self.store, name).await {
                tracing::warn!(name, error = %failed.error, "a secret was not removed");
            }
        }
    }

    /// Tests a new account, and keeps nothing. `None` where somebody has to log in first.
    pub(crate) async fn tried(&self, new: &New) -> Result<Option<Tested>, Refusal> {
        let project = self.project()?;
        if names(&project).contains(&new.name) {
            return Err(Refusal::Exists(new.name.clone()));
        }
        let connector = self.chosen(new)?;
        let problems = problems(connector, new);
        if !problems.is_empty() {
            return Err(Refusal::Fields(problems));
        }
        let account = connector.account(&new.name, new.base_url.as_deref(), given(&new.settings));
        let account = account.map_err(|error| {
            let field = match &error {
                connector::AccountError::Missing { setting, .. } => (*setting).to_owned(),
                connector::AccountError::Unknown { setting, .. }
                | connector::AccountError::Invalid { setting, .. } => setting.clone(),
            };
            Refusal::Fields([(field, error.to_string())].into())
        })?;
        if account.login().is_some() {
            return Ok(None);
        }
        // With a token of its own: one that is kept says nothing of these credentials.
        let api = self.api(account, Arc::new(Unkept))?;
        let tested = connector.test_account(&api).await.map_err(Refusal::of_call)?;
        if tested.is_good() {
            return Ok(Some(tested));
        }
        Err(Refusal::Failed(Failed::new(&new.name, connector, tested)))
    }

    /// Keeps a new account after its test.
    pub(crate) async fn kept(&self, new: New, tested: Option<Tested>) -> Result<Added, Refusal> {
        let _writing = self.writing.lock().await;
        let connector = self.chosen(&new)?;
        let mut kept = vec![];
        if let Err(refusal) = self.write_new(connector, &new, &mut kept).await {
            self.forget(&kept).await;
            return Err(refusal);
        }
        let login_needed = tested.is_none();
        Ok(Added { account: new.name, tested: tested.unwrap_or_default(), login_needed })
    }

    fn chosen(&self, new: &New) -> Result<&Connector, Refusal> {
        self.connector(&new.connector).ok_or_else(|| {
            let names = self.connectors.iter().map(Connector::name);
            let hint = flow::did_you_mean(&new.connector, names.clone());
            let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            let names = names.collect::<Vec<_>>().join(", ");
            let problem = format!("there is no such connector{hint}, but {names}");
            Refusal::Fields([("connector".to_owned(), problem)].into())
        })
    }

    async fn write_new(
        &self,
        connector: &Connector,
        new: &New,
        kept: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let project = self.project()?;
        let path = project.config_path();
        let old = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => scaffold::config(""),
            Err(error) => {
                return Err(Refusal::Other(format!("could not read {}: {error}", path.display())));
            }
        };
        let settings = self.keep(&project, connector, new, kept).await?;
        let lines = |indent| {
            written::account(&new.name, connector, new.base_url.as_deref(), &settings, indent)
        };
        let mut wanted = names(&project);
        if !wanted.insert(new.name.clone()) {
            return Err(Refusal::Exists(new.name.clone()));
        }
        let by_hand = format!("write them one below another, so that this fits in:\n{}", lines(2));
        self.rewrite(&project, written::added(&old, lines), &wanted, &by_hand).await
    }
}

#[async_trait]
impl Host for Book {
    fn connectors(&self) -> &[Connector] {
        &self.connectors
    }

    async fn list(&self) -> Result<Vec<Line>, Refusal> {
        let project = self.project()?;
        let (states, flows) = (self.states().await?, flows_of(&project));
        let mut all = names(&project);
        all.extend(states.keys().cloned());
        let mut lines = vec![];
        for name in all {
            let mut line = self.line(&project, &name).await?;
            let state = states.get(&name);
            let paused = state.and_then(|state| state.paused.as_ref());
            line.paused = paused.map(|rest| rest.reason.clone());
            let held = state.and_then(|state| state.held.as_ref());
            line.held = held.map(|held| held.reason.clone());
            line.flows = flows.get(&name).into_iter().flatten().cloned().collect();
            lines.push(line);
        }
        Ok(lines)
    }

    async fn add(&self, new: New) -> Result<Added, Refusal> {
        let tested = self.tried(&new).await?;
        self.kept(new, tested).await
    }

    async fn test(&self, name: &str) -> Result<Tested, Refusal> {
        let project = self.project()?;
        let account = self.account(&project, name).await?.account;
        let connector = self.connector(account.connector());
        let connector = connector.ok_or_else(|| Refusal::Other("no such connector".to_owned()))?;
        let api = if account.login().is_some() {
            let api = self.api(account, self.tokens.clone())?;
            if api.login_state().await.map_err(Refusal::of_call)?.is_none() {
                let login = project.command(&format!("account login {name}"));
                let reason = format!("account {name} has no login: run `{login}`");
                return Err(Refusal::NeedsLogin(reason));
            }
            api
        } else {
            self.api(account, Arc::new(Unkept))?
        };
        connector.test_account(&api).await.map_err(Refusal::of_call)
    }

    async fn lacking(&self, name: &str) -> Result<Vec<Lacking>, Refusal> {
        self.lacking_to(name).await
    }

    async fn remove(&self, name: &str, although_used: bool) -> Result<Removed, Refusal> {
        let _writing = self.writing.lock().await;
        let project = self.project()?;
        let mut wanted = names(&project);
        if !wanted.remove(name) {
            return Err(no_such(&project, name));
        }
        let flows: Vec<String> = flows_of(&project).remove(name).into_iter().flatten().collect();
        if !flows.is_empty() && !although_used {
            return Err(Refusal::Used(flows));
        }
        let path = project.config_path();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Refusal::Other(format!("could not read {}: {error}", path.display()))
        })?;
        let api = match self.account(&project, name).await {
            Ok(account) => Some(self.api(account.account, self.tokens.clone())?),
            // A secret is missing: there is nothing that could be ended.
            Err(_) => None,
        };
        let by_hand = format!("take `{name}` out of it yourself");
        self.rewrite(&project, written::removed(&text, name), &wanted, &by_hand).await?;
        let used = project.secrets_used();
        let own = used.iter().filter(|(_, by)| by.iter().eq([&name]));
        let own: Vec<String> = own.map(|(secret, _)| (*secret).to_owned()).collect();
        let token = match api {
            Some(api) => words(&api.log_out().await.map_err(Refusal::of_call)?),
            None => words(&connector::Revoked::Nothing),
        };
        self.forget(&own).await;
        self.used_again(name).await?;
        Ok(Removed { account: name.to_owned(), flows, token })
    }

    async fn access(&self, name: &str) -> Result<Api, Refusal> {
        let project = self.project()?;
        let account = self.account(&project, name).await?.account;
        self.api(account, self.tokens.clone())
    }

    async fn register(&self, name: &str, flow: &str, url: &str) -> Result<(), Refusal> {
        self.register_hook(name, flow, url).await
    }

    async fn unregister(&self, name: &str, flow: &str) -> Result<bool, Refusal> {
        self.unregister_hook(name, flow).await
    }

    async fn registered(&self, name: &str) -> Result<Vec<Registered>, Refusal> {
        self.hooks_of(name).await
    }

    async fn used_again(&self, name: &str) -> Result<(), Refusal> {
        let request = Request::Resume { account: name.to_owned() };
        let asked = Handle::new(self.store.clone()).ask(request).await;
        asked.map(drop).map_err(|error| Refusal::Other(error.to_string()))
    }
}

fn names(project: &Project) -> BTreeSet<String> {
    project.config().into_iter().flat_map(|config| config.accounts.keys().cloned()).collect()
}

fn no_such(project: &Project, name: &str) -> Refusal {
    let hint = flow::did_you_mean(name, names(project).iter().map(String::as_str));
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    let file = project.config_path().display().to_string();
    let file = if file.is_empty() { CONFIG.to_owned() } else { file };
    Refusal::NoSuch(format!("{name} in {file}{hint}"))
}

/// The settings that were given anything: an empty one takes its default.
fn given(settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let given = settings.iter().filter(|(_, value)| !value.trim().is_empty());
    given.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// All that is wrong with a new account, by field, before anybody is asked.
fn problems(connector: &Connector, new: &New) -> BTreeMap<String, String> {
    let mut problems = BTreeMap::new();
    let mut add = |field: &str, problem: String| drop(problems.insert(field.to_owned(), problem));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name = &new.name;
    if name.is_empty() {
        add("name", "a name is needed".to_owned());
    } else if name.len() > LONGEST || !name.chars().all(fits) || name == "new" {
        let form = "letters, digits, `-` and `_`, at most 60, and not `new`";
        add("name", form.to_owned());
    }
    for setting in connector.settings() {
        let value = new.settings.get(setting.name).map_or("", |value| value.trim());
        if value.chars().any(char::is_control) {
            add(setting.name, "it holds a line break or another control character".to_owned());
        } else if value.is_empty() && setting.default.is_none() {
            add(setting.name, "a value is needed".to_owned());
        } else if !value.is_empty()
            && let Err(problem) = (setting.check)(value)
        {
            add(setting.name, problem);
        }
    }
    let known = |name: &String| connector.settings().iter().any(|it: &Setting| it.name == name);
    for unknown in new.settings.keys().filter(|name| !known(name)) {
        let own = connector.settings().iter().map(|it| it.name).collect::<Vec<_>>().join(", ");
        add(unknown, format!("{} has no such setting, but {own}", connector.name()));
    }
    problems
}

/// Puts a text in the place of a file, whole or not at all, with the same rights.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    if let Ok(known) = std::fs::metadata(&path) {
        file.as_file().set_permissions(known.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
