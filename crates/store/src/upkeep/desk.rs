//! What a process asks of the one that has the store open: through files in the store's folder.
//!
//! Whoever asks writes `requests/ID.request`, and whoever has the store open looks for such files
//! once a second. It renames one to `ID.taken` when it begins, writes how far it has come into
//! `ID.progress`, and the answer into `ID.answer`.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chacha20poly1305::aead::Generate;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Moved, Overview, Told, Verified};
use crate::error::{Error, Result};
use crate::sled::SledStore;
use crate::vault::MasterKey;
use crate::{files, layout};

const FOLDER: &str = "requests";

/// How often either side looks.
const LOOK: Duration = Duration::from_millis(100);

/// A request that nobody has taken by then is taken back: whoever has the store open takes none.
const TAKEN_WITHIN: u32 = 50;

/// After so many looks without any progress, whoever took the request is gone.
const PROGRESS_WITHIN: u32 = 300;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Write an archive of everything, or of some flows.
    Export {
        /// The whole path of the archive.
        file: PathBuf,
        /// The flows, or everything.
        flows: Option<Vec<String>>,
        /// The time of the archive, in milliseconds since the epoch.
        at: i64,
    },
    /// Read everything.
    Verify,
    /// Count what is kept.
    Overview,
    /// Something that is no matter of the store, but of who has it open.
    Holder(Value),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The archive is there.
    Exported(Moved),
    /// Everything was read.
    Verified(Verified),
    /// Everything was counted.
    Overview(Overview),
    /// What who has the store open said.
    Holder(Value),
    /// It was not done.
    Failed(String),
}

/// Asks whoever has the store in a folder open, and waits for the answer.
///
/// [`Error::Locked`] if nobody takes the request within some seconds, or nobody ends it.
pub async fn ask(path: &Path, request: &Request, told: Told<'_>) -> Result<Answer> {
    let folder = path.join(FOLDER);
    files::create_folder(&folder)?;
    let random: [u8; 8] = Generate::generate();
    let id = layout::hex(&random);
    let file = |ending: &str| folder.join(format!("{id}.{ending}"));
    write(&file("request"), request)?;
    let asked = wait(&file, told).await;
    for ending in ["request", "taken", "progress", "answer"] {
        files::remove(&file(ending))?;
    }
    match asked? {
        Some(answer) => Ok(answer),
        None => Err(Error::Locked { path: path.to_owned(), holder: crate::sled::holder(path) }),
    }
}

async fn wait(file: &impl Fn(&str) -> PathBuf, told: Told<'_>) -> Result<Option<Answer>> {
    let (mut taken, mut looks, mut last) = (false, 0, None);
    loop {
        if let Some(answer) = read(&file("answer"))? {
            return Ok(Some(answer));
        }
        if !taken && !file("request").exists() {
            (taken, looks) = (true, 0);
        }
        let progress: Option<u64> = read(&file("progress"))?;
        if progress.is_some() && progress != last {
            (last, looks) = (progress, 0);
        }
        looks += 1;
        if looks > if taken { PROGRESS_WITHIN } else { TAKEN_WITHIN } {
            return Ok(None);
        }
        told(last.unwrap_or_default(), None);
        tokio::time::sleep(LOOK).await;
    }
}

/// Answers what is no matter of the store; the error is for people.
pub type Holder = Arc<dyn Fn(Value) -> Answering + Send + Sync>;

/// An answer that is on its way.
pub type Answering = Pin<Box<dyn Future<Output = std::result::Result<Value, String>> + Send>>;

/// Answers requests for a store that this process has open.
pub struct Desk {
    store: SledStore,
    key: MasterKey,
    folder: PathBuf,
    holder: Holder,
}

impl Desk {
    /// Makes a desk; archives are sealed with the store's key. What is asked of the holder, and
    /// what it answers, lies in a file for a moment: nothing that is sealed in the store.
    #[must_use]
    pub fn new(store: SledStore, key: MasterKey, holder: Holder) -> Self {
        let folder = store.folder().join(FOLDER);
        Self { store, key, folder, holder }
    }

    /// Answers the requests that are there, one after another, and says how many there were.
    pub async fn look(&self) -> Result<usize> {
        let mut answered = 0;
        for request in self.requests()? {
            let taken = request.with_extension("taken");
            // One that was taken back meanwhile is none.
            if fs::rename(&request, &taken).is_err() {
                continue;
            }
            let answer = match read::<Request>(&taken)? {
                Some(asked) => self.answer(&asked, &request.with_extension("progress")).await,
                None => Answer::Failed("the request cannot be read".to_owned()),
            };
            write(&request.with_extension("answer"), &answer)?;
            answered += 1;
        }
        Ok(answered)
    }

    fn requests(&self) -> Result<Vec<PathBuf>> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| Error::io("list", &self.folder, error))?.path();
            if path.extension().is_some_and(|it| it == "request") {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    async fn answer(&self, request: &Request, progress: &Path) -> Answer {
        let beats = Arc::new(AtomicU64::new(0));
        let done = Arc::clone(&beats);
        let told = move |bytes: u64, _: Option<u64>| done.store(bytes, Ordering::Relaxed);
        let work = async {
            match request {
                Request::Export { file, flows, at } => {
                    let done = self.store.export(file, &self.key, flows.as_deref(), *at, &told);
                    done.await.map(Answer::Exported)
                }
                Request::Verify => self.store.verify().await.map(Answer::Verified),
                Request::Overview => self.store.overview().await.map(Answer::Overview),
                Request::Holder(asked) => {
                    let answer = (self.holder)(asked.clone()).await;
                    Ok(answer.map_or_else(Answer::Failed, Answer::Holder))
                }
            }
        };
        let beat = async {
            let mut alive = 0;
            loop {
                // Every beat is another number, so that work that takes long is not given up.
                alive += 1;
                let number = beats.load(Ordering::Relaxed) + alive;
                if let Err(error) = write(progress, &number) {
                    tracing::warn!(%error, "nobody hears how far a request has come");
                }
                tokio::time::sleep(LOOK * 10).await;
            }
        };
        tokio::select! {
            answer = work => answer.unwrap_or_else(|error| Answer::Failed(error.to_string())),
            () = beat => Answer::Failed("it was not waited for".to_owned()),
        }
    }
}

/// Writes a value so that no reader finds half of it.
fn write<V: Serialize>(path: &Path, value: &V) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(|error| Error::Database {
        doing: "encode a request",
        reason: error.to_string(),
    })?;
    let temporary = files::temporary_beside(path);
    files::write_new(&temporary, &text)?;
    fs::rename(&temporary, path).map_err(|error| Error::io("write", path, error))
}

fn read<V: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<V>> {
    let Some(bytes) = files::read(path)? else { return Ok(None) };
    Ok(serde_json::from_slice(&bytes).ok())
}
