//! Which flows of a project go back where another one comes from.

use std::path::PathBuf;
use std::sync::Arc;

use connector::Connector;
use engine::Flows;
use flow::{Config, Flow};

use crate::folder;
use crate::project::Project;

/// The accounts that a flow goes between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    polls: Box<str>,
    writes: Box<[Box<str>]>,
}

impl Ends {
    pub(crate) fn of(flow: &Flow) -> Self {
        Self {
            polls: flow.trigger.account.as_str().into(),
            writes: flow.steps.iter().map(|step| step.account.as_str().into()).collect(),
        }
    }

    /// Whether the flow polls the one account and writes to the other.
    pub(crate) fn are(&self, polls: &str, writes: &str) -> bool {
        *self.polls == *polls && self.writes.iter().any(|known| **known == *writes)
    }
}

/// The flows that lie in a project's folder.
pub(crate) struct Lying {
    folder: PathBuf,
    config: Option<Config>,
    connectors: Vec<Connector>,
}

impl Lying {
    pub(crate) fn of(project: &Project) -> Self {
        Self {
            folder: project.folder(),
            config: project.config().cloned(),
            connectors: project.connectors().to_vec(),
        }
    }
}

impl Flows for Lying {
    /// Files that cannot be read, or have mistakes, are of no flow: whoever runs them is told.
    fn between(&self, polls: &str, writes: &str) -> Vec<Arc<Flow>> {
        let context = flow::Context { connectors: &self.connectors, config: self.config.as_ref() };
        let mut found = vec![];
        for path in folder::flow_files(&self.folder).unwrap_or_default() {
            // Most flows of a large folder are about others, and need not be compiled.
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if !text.contains(polls) || !text.contains(writes) {
                continue;
            }
            let (flow, _) = flow::check(&path.to_string_lossy(), &text, &context);
            found.extend(flow.filter(|flow| Ends::of(flow).are(polls, writes)).map(Arc::new));
        }
        found
    }
}
