//! The flows of a service: their texts, and those that were compiled lately.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use connector::{Secret, Timestamp};
use engine::builtin::Alert;
use engine::service::{Host, Ran};
use engine::{Engine, Error, Flows, Place};
use flow::{Flow, Schedule};
use server::{Events, Listed};

use super::lines::Lines;
use super::told::Told;
use crate::keeper::Keeper;
use crate::log;
use crate::opposite::Ends;
use crate::project::{Project, Workshop};
use crate::vault::{self, Vault};

/// So many compiled flows are kept: one that runs seldom is compiled again when it is due.
const COMPILED: usize = 256;

/// Holds what a service runs, and compiles it on demand.
///
/// The text of the version that runs is kept, not its file: that may have been changed for the
/// worse since, or be gone.
pub(crate) struct Shelf {
    /// With all secrets that towpath.yaml names: nobody else can write to the store.
    known: Mutex<(Arc<Project>, Arc<Vault>)>,
    engine: Arc<Engine>,
    lines: Arc<Lines>,
    events: Events,
    told: Arc<Told>,
    /// Looks after the store as long as the service runs.
    _keeper: Option<Keeper>,
    versions: Mutex<HashMap<Arc<str>, Version>>,
    compiled: Mutex<Compiled>,
    /// The accounts that the engine has.
    accounts: Mutex<HashSet<String>>,
}

#[derive(Clone)]
struct Version {
    path: PathBuf,
    text: Arc<str>,
    schedule: Option<Schedule>,
    alert: Option<Alert>,
    ends: Ends,
}

#[derive(Default)]
struct Compiled {
    flows: HashMap<Arc<str>, Made>,
    uses: u64,
}

struct Made {
    flow: Arc<Flow>,
    /// What it was made of.
    text: Arc<str>,
    /// When it was last asked for, in uses.
    used: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    pub(crate) fn new(
        project: Arc<Project>,
        workshop: Workshop,
        lines: Arc<Lines>,
        events: Events,
        told: Arc<Told>,
    ) -> Self {
        let Workshop { engine, vault, keeper, .. } = workshop;
        Self {
            known: Mutex::new((project, Arc::new(vault))),
            engine,
            lines,
            events,
            told,
            _keeper: keeper,
            versions: Mutex::default(),
            compiled: Mutex::default(),
            accounts: Mutex::default(),
        }
    }

    /// Puts a version of a flow in the place of the one before.
    pub(crate) fn put(
        &self,
        flow: Arc<str>,
        path: PathBuf,
        text: Arc<str>,
        (schedule, alert, ends): (Option<Schedule>, Option<Alert>, Ends),
    ) {
        lock(&self.versions).insert(flow, Version { path, text, schedule, alert, ends });
    }

    /// What runs the flows.
    pub(crate) const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(crate) fn remove(&self, flow: &str) {
        lock(&self.versions).remove(flow);
        lock(&self.compiled).flows.remove(flow);
    }

    /// Looks accounts up in another towpath.yaml from now on, when flows use them next.
    pub(crate) fn renew(&self, project: Arc<Project>, vault: Vault) {
        *lock(&self.known) = (project, Arc::new(vault));
        lock(&self.accounts).clear();
    }

    /// Looks up the secrets of accounts again, when flows use them next.
    async fn look_again(&self) -> Result<(), String> {
        let project = lock(&self.known).0.clone();
        let names = project.secrets_used().into_keys();
        let vault = Vault::open(&**self.engine.store(), names).await;
        self.renew(project.clone(), vault.map_err(|failed| failed.error.to_string())?);
        Ok(())
    }

    fn compile(&self, name: &str) -> Result<Arc<Flow>, Error> {
        let place = || Place { flow: name.to_owned(), step: None, account: String::new() };
        let version = lock(&self.versions).get(name).cloned();
        let Some(Version { path, text, .. }) = version else {
            let reason = "its file is gone".to_owned();
            return Err(Error::Config { place: place(), reason });
        };
        if let Some(flow) = lock(&self.compiled).get(name, &text) {
            return Ok(flow);
        }
        let project = lock(&self.known).0.clone();
        let Some(flow) = project.check_text(&path, &text).0 else {
            // Its text was checked before it came here.
            let problem = format!("{} has mistakes after all", path.display());
            return Err(Error::Internal { place: place(), problem });
        };
        let flow = Arc::new(flow);
        lock(&self.compiled).put(name.into(), flow.clone(), text);
        Ok(flow)
    }

    /// Looks up the secrets of the accounts that the engine does not have yet.
    fn add_accounts(&self, flow: &Flow) -> Result<(), Error> {
        let (project, vault) = lock(&self.known).clone();
        let trigger = flow.trigger.account().map(|account| (None, account));
        let steps = flow.steps.iter();
        let steps = steps.map(|step| (Some(step.id.clone()), step.account.as_str()));
        for (step, name) in trigger.into_iter().chain(steps) {
            let known = lock(&self.accounts).contains(name);
            if known && !self.engine.is_left_alone(name) {
                continue;
            }
            let account = project.account(name, Some(&vault)).map_err(|failed| Error::Config {
                place: Place { flow: flow.name.clone(), step, account: name.to_owned() },
                reason: format!("{:#}", failed.error),
            })?;
            if let Some(account) = account {
                log::hide(name, account.account.redactor());
                // Of one that is left alone a secret in a file may be another one by now, and of one
                // that towpath.yaml was read anew for, each setting.
                self.engine.renew_account(name, account);
            }
            lock(&self.accounts).insert(name.to_owned());
        }
        Ok(())
    }
}

impl Flows for Shelf {
    fn between(&self, polls: &str, writes: &str) -> Vec<Arc<Flow>> {
        let versions = lock(&self.versions);
        let found = versions.iter().filter(|(_, version)| version.ends.are(polls, writes));
        let names: Vec<Arc<str>> = found.map(|(name, _)| name.clone()).collect();
        drop(versions);
        // One that is gone by now brings nothing back.
        names.iter().filter_map(|name| self.compile(name).ok()).collect()
    }
}

/// The engine is the shelf's own: it must not keep it.
pub(crate) struct OfShelf(pub(crate) Weak<Shelf>);

impl Flows for OfShelf {
    fn between(&self, polls: &str, writes: &str) -> Vec<Arc<Flow>> {
        self.0.upgrade().map(|shelf| shelf.between(polls, writes)).unwrap_or_default()
    }
}

impl Host for Shelf {
    fn flow(&self, name: &str) -> Result<Arc<Flow>, Error> {
        let flow = self.compile(name)?;
        self.add_accounts(&flow)?;
        Ok(flow)
    }

    fn has(&self, name: &str) -> bool {
        lock(&self.versions).contains_key(name)
    }

    fn alert(&self, flow: &str) -> Option<Alert> {
        lock(&self.versions).get(flow)?.alert.clone()
    }

    fn begins(&self, flow: &str, at: Timestamp) {
        self.events.begins(flow, at);
    }

    fn ran(&self, ran: &Ran<'_>) {
        self.events.ran(ran);
        let run = self.told.ran(ran);
        self.lines.ran(self.engine.clock().now(), ran, run.as_deref());
    }
}

#[async_trait]
impl server::Project for Shelf {
    fn flows(&self) -> Vec<Listed> {
        lock(&self.versions).iter().map(|(flow, version)| listed(flow, version)).collect()
    }

    fn flow_named(&self, name: &str) -> Option<Listed> {
        let versions = lock(&self.versions);
        versions.get_key_value(name).map(|(flow, version)| listed(flow, version))
    }

    fn shown(&self, name: &str) -> Result<Arc<Flow>, Error> {
        self.compile(name)
    }

    fn accounts(&self) -> Vec<(String, String)> {
        let project = lock(&self.known).0.clone();
        let written = project.config().into_iter().flat_map(|config| &config.accounts);
        written.map(|(name, account)| (name.clone(), account.connector.clone())).collect()
    }

    async fn secrets(&self) -> Result<Vec<(String, Timestamp)>, String> {
        let listed = vault::list(&**self.engine.store()).await;
        listed.map(|it| it.into_iter().collect()).map_err(|failed| failed.error.to_string())
    }

    async fn set_secret(&self, name: &str, value: &Secret) -> Result<bool, String> {
        let (store, now) = (self.engine.store(), self.engine.clock().now());
        let kept = vault::put(&**store, name, value, now).await;
        let replaced = kept.map_err(|failed| failed.error.to_string())?;
        self.look_again().await?;
        Ok(replaced)
    }

    async fn remove_secret(&self, name: &str) -> Result<bool, String> {
        let removed = vault::remove(&**self.engine.store(), name).await;
        let removed = removed.map_err(|failed| failed.error.to_string())?;
        self.look_again().await?;
        Ok(removed)
    }
}

fn listed(flow: &Arc<str>, version: &Version) -> Listed {
    Listed {
        flow: flow.clone(),
        file: version.path.display().to_string(),
        schedule: version.schedule.as_ref().map(ToString::to_string),
    }
}

impl Compiled {
    fn get(&mut self, name: &str, text: &Arc<str>) -> Option<Arc<Flow>> {
        self.uses += 1;
        let made = self.flows.get_mut(name).filter(|made| Arc::ptr_eq(&made.text, text))?;
        made.used = self.uses;
        Some(made.flow.clone())
    }

    fn put(&mut self, name: Arc<str>, flow: Arc<Flow>, text: Arc<str>) {
        if self.flows.len() >= COMPILED && !self.flows.contains_key(&name) {
            let oldest = self.flows.iter().min_by_key(|(_, made)| made.used);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.flows.remove(&oldest);
            }
        }
        self.flows.insert(name, Made { flow, text, used: self.uses });
    }
}
