//! When to look at the files: after they changed, after a hang-up signal, and now and then.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connector::Clock;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::folder;

/// Who writes a file writes more of it soon: a look waits until nothing came for so long.
const QUIET: Duration = Duration::from_millis(300);
/// But it does not wait for ever.
const MOST_WAITS: usize = 10;
/// What the system did not tell, such as changes on a network's file system, is found so often.
const SLOW: Duration = Duration::from_secs(60);
/// The same where the system tells nothing.
const UNTOLD: Duration = Duration::from_secs(10);

/// What to look at.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Files that are said to have changed.
    pub(crate) named: BTreeSet<PathBuf>,
    /// Every file is read, whatever its time.
    pub(crate) all: bool,
    /// A folder itself is new or gone.
    folder: bool,
}

/// Tells when to look.
pub(crate) struct Looks {
    clock: Arc<dyn Clock>,
    told: UnboundedReceiver<Look>,
    /// Watches as long as it lives.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    hang_up: HangUp,
}

impl Looks {
    /// Begins to watch folders of flows and the configuration. Where the system cannot, the
    /// reason is given too, and looks come more often. A folder of flows that is not there yet, or
    /// goes and comes back, is watched from then on.
    pub(crate) fn start(
        clock: Arc<dyn Clock>,
        flows: &[&Path],
        config: &Path,
    ) -> (Self, Option<notify::Error>) {
        let (sender, told) = unbounded_channel();
        let folders: Vec<PathBuf> = flows.iter().map(|folder| (*folder).to_owned()).collect();
        let config_name = config.file_name().map(ToOwned::to_owned);
        let hear = move |event: notify::Result<Event>| {
            // An error is about what could not be told: look at everything that may have changed.
            let event = event.unwrap_or_else(|_| Event::new(EventKind::Any));
            let read = |kind| {
                let closed = AccessKind::Close(AccessMode::Write);
                matches!(kind, EventKind::Access(access) if access != closed)
            };
            let name = |path: &PathBuf| path.file_name().map(ToOwned::to_owned);
            let named: Vec<_> = event.paths.iter().filter_map(name).collect();
            // Names that begin so are exchanged to change all files of a mounted folder at once.
            let about_all = event.need_rescan()
                || named.is_empty()
                || named.iter().any(|name| name.to_string_lossy().starts_with(".."));
            let about_folder = named.iter().any(|name| {
                folders.iter().any(|folder| folder.file_name() == Some(name.as_os_str()))
            });
            let about_config = named.iter().any(|name| Some(name) == config_name.as_ref());
            // The system may call a folder otherwise than we do, so that only the name tells.
            let files =
                named.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
            let named: BTreeSet<_> = files.filter(|file| folder::is_flow_file(file)).collect();
            let about_any = about_all || about_config || about_folder || !named.is_empty();
            if !read(event.kind) && about_any {
                // Nobody listens any more once the service has ended.
                drop(sender.send(Look { named, all: false, folder: about_folder }));
            }
        };
        let parent = config.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let folders: BTreeSet<PathBuf> =
            flows.iter().copied().chain([parent]).map(Path::to_owned).collect();
        let watcher = notify::recommended_watcher(hear).and_then(|mut watcher| {
            for folder in folders.iter().filter(|folder| folder.is_dir()) {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        let (watcher, error) = match watcher {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(error)),
        };
        let looks = Self { clock, told, watcher, folders, hang_up: listen() };
        (looks, error)
    }

    /// Waits until it is time to look.
    pub(crate) async fn next(&mut self) -> Look {
        let slow = if self.watcher.is_some() { SLOW } else { UNTOLD };
        let hang_up = hang_up(&mut self.hang_up);
        let mut look = tokio::select! {
            Some(look) = self.told.recv() => look,
            () = hang_up => return Look { all: true, ..Look::default() },
            () = self.clock.sleep(slow) => {
                self.watch_again();
                return Look::default();
            }
        };
        for _ in 0..MOST_WAITS {
            self.clock.sleep(QUIET).await;
            let before = self.told.len();
            while let Ok(more) = self.told.try_recv() {
                look.named.extend(more.named);
                look.all |= more.all;
                look.folder |= more.folder;
            }
            if before == 0 {
                break;
            }
        }
        if look.folder {
            self.watch_again();
        }
        look
    }

    /// Watches the folders that are there now: a watch ends with the folder that it began with,
    /// also if another one takes its name.
    fn watch_again(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in self.folders.iter().filter(|folder| folder.is_dir()) {
            // What fails here is tried again at the next slow look.
            drop(watcher.watch(folder, RecursiveMode::NonRecursive));
        }
    }
}

#[cfg(unix)]
type HangUp = Option<tokio::signal::unix::Signal>;
#[cfg(not(unix))]
type HangUp = Option<std::convert::Infallible>;

#[cfg(unix)]
fn listen() -> HangUp {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok()
}
#[cfg(not(unix))]
fn listen() -> HangUp {
    None
}

/// Waits for the signal; for ever where there is none.
#[cfg_attr(not(unix), allow(unused_variables, reason = "other systems have no such signal"))]
async fn hang_up(signal: &mut HangUp) {
    #[cfg(unix)]
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}
