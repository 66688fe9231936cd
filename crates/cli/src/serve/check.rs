//! Checks many flow files at once, on all cores.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use engine::builtin::Alert;
use flow::Schedule;

use crate::engines;
use crate::opposite::Ends;
use crate::project::{Checked, Project};

/// Deep files and expressions need room, as they do on the runtime's own threads.
const STACK: usize = 8 * 1024 * 1024;
/// What a flow that is called waits after its first failure is twice this.
const AGAIN: Duration = Duration::from_secs(5);
/// So few are checked where they are.
const FEW: usize = 8;

/// What a service keeps of a flow file: the compiled flow is made when it is due.
#[derive(Clone, Debug)]
pub(crate) struct Good {
    pub(crate) flow: Arc<str>,
    pub(crate) schedule: Option<Schedule>,
    /// Whether it runs when something came for it; its schedule is that of tries after failures.
    pub(crate) called: bool,
    /// What it is told by the service itself, if anything.
    pub(crate) alert: Option<Alert>,
    /// The accounts that it goes between.
    pub(crate) ends: Ends,
    /// Whether its engine is one that an operator should be warned of.
    pub(crate) warned_of: bool,
}

/// What became of one file.
pub(crate) struct Outcome {
    /// `None` after mistakes.
    pub(crate) good: Option<Good>,
    /// The findings, warnings among them; `None` if there are none.
    pub(crate) checked: Option<Checked>,
}

/// Checks texts of flow files, and gives the outcomes in the same order.
pub(crate) fn all(project: &Project, files: &[(PathBuf, Arc<str>)]) -> Vec<Outcome> {
    if files.len() <= FEW {
        return files.iter().map(|file| one(project, file)).collect();
    }
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(files.iter().map(|_| None).collect());
    let work = || {
        while let Some((at, file)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            files.get(at).map(|file| (at, file))
        } {
            let outcome = one(project, file);
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = outcomes.get_mut(at) {
                *slot = Some(outcome);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Without another thread this one does all of it.
            drop(thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work));
        }
        work();
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let checked = outcomes.into_iter().zip(files);
    checked.map(|(outcome, file)| outcome.unwrap_or_else(|| one(project, file))).collect()
}

fn one(project: &Project, (path, text): &(PathBuf, Arc<str>)) -> Outcome {
    let (flow, findings) = project.check_text(path, text);
    let checked = (!findings.is_empty()).then(|| Checked::new(text.to_string(), findings));
    let good = flow.map(|flow| Good {
        warned_of: engines::concerns(&flow),
        flow: flow.name.as_str().into(),
        alert: Alert::of(&flow),
        ends: Ends::of(&flow),
        called: flow.trigger.is_called(),
        schedule: match flow.trigger.is_called() {
            true => Some(Schedule::Every(AGAIN)),
            false => flow.trigger.schedule,
        },
    });
    Outcome { good, checked }
}
