//! Plays stories against a real system or a sandbox, and writes down what went over the wire.
//!
//! Secrets and personal data are replaced in memory; the files are written from what is left, and
//! what they say of outcomes comes from playing them back.

mod account;
mod asked;
mod before;
mod meaning;
mod proxy;
mod shapes;
mod standins;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector::{Connector, Error};
use url::Url;

use crate::expect::{Became, Expect};
use crate::http::Server;
use crate::poll::Play;
use crate::stage::Stage;
use crate::story::{self, Kind, Story, System, Unreadable};
use crate::{action, trigger};
use proxy::Proxy;
use standins::Standins;

/// Where a system is, and how to be let in.
#[derive(Clone)]
pub struct Origin {
    /// The base URL of the account.
    pub base_url: String,
    /// The account's settings, the real ones.
    pub account: BTreeMap<String, String>,
}

/// Why nothing was recorded.
#[derive(thiserror::Error)]
pub enum Unrecorded {
    /// The files cannot be used, or cannot be written.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It is not said where the system is, or not rightly.
    #[error("{0}")]
    Origin(String),
    /// The machine does not let it listen.
    #[error("could not listen on loopback: {0}")]
    Io(#[from] std::io::Error),
    /// The system did not answer as it does when all is well.
    #[error("story {story}: {problem}")]
    Failed {
        /// The story.
        story: String,
        /// What happened.
        problem: String,
    },
    /// What was recorded means something else once data are replaced.
    #[error(
        "story {story} was played with {live}, but with data replaced it gives {played}; if a word \
         of the system was replaced, add its key to `keep` in system.json"
    )]
    Changed {
        /// The story.
        story: String,
        /// What came of it at the system.
        live: String,
        /// What came of it after replacement.
        played: String,
    },
    /// Something that should have been replaced is still there; nothing was written.
    #[error("story {story}: what was recorded still holds {what}; nothing was written")]
    Remains {
        /// The story.
        story: String,
        /// What kind of thing it is, not itself.
        what: String,
    },
}

impl std::fmt::Debug for Unrecorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Records the stories of a folder: plays each one's call and writes its exchanges and outcomes.
///
/// `sandbox` is asked unless the environment names another system: `TOWPATH_RECORD_BASE_URL` (the
/// sandbox's account at another address), or `TOWPATH_RECORD_ACCOUNT`, an account of the file
/// `TOWPATH_RECORD_CONFIG`. `TOWPATH_RECORD_STORIES` chooses stories, with commas between.
pub async fn record(
    connector: Connector,
    folder: impl AsRef<Path>,
    sandbox: Option<Origin>,
) -> Result<Vec<PathBuf>, Unrecorded> {
    let asked = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // Whoever has an account of a file means the system itself.
    let ready = sandbox.is_some() && asked("TOWPATH_RECORD_ACCOUNT").is_none();
    let origin = account::origin(&connector, sandbox, asked)?;
    let chosen = asked("TOWPATH_RECORD_STORIES");
    let chosen: Vec<&str> = chosen.iter().flat_map(|it| it.split(',')).collect();
    record_from(&connector, folder.as_ref(), (&origin, ready), &chosen).await
}

async fn record_from(
    connector: &Connector,
    folder: &Path,
    origin: (&Origin, bool),
    chosen: &[&str],
) -> Result<Vec<PathBuf>, Unrecorded> {
    let written = recordings(connector, folder, origin, chosen).await?;
    // Only when every story went well: half of a recording would not fit the other half.
    for (path, text) in &written {
        std::fs::write(path, text).map_err(|error| Unreadable::new(path, error))?;
    }
    Ok(written.into_iter().map(|(path, _)| path).collect())
}

/// Records the stories of a folder from a sandbox, writes nothing, and gives the files that say
/// something else: what they promise is no longer what the sandbox answers.
pub async fn outdated(
    connector: Connector,
    folder: impl AsRef<Path>,
    sandbox: Origin,
) -> Result<Vec<PathBuf>, Unrecorded> {
    let mut outdated = vec![];
    for (path, text) in recordings(&connector, folder.as_ref(), (&sandbox, true), &[]).await? {
        let kept = std::fs::read_to_string(&path).map_err(|error| Unreadable::new(&path, error))?;
        if kept != text {
            outdated.push(path);
        }
    }
    Ok(outdated)
}

/// The files of a folder's stories as a recording gives them; `ready` says that it is a sandbox, which
/// may be made ready for them.
async fn recordings(
    connector: &Connector,
    folder: &Path,
    (origin, ready): (&Origin, bool),
    chosen: &[&str],
) -> Result<Vec<(PathBuf, String)>, Unrecorded> {
    let (system, stories) = story::read(folder)?;
    if let Some(unknown) = chosen.iter().find(|name| stories.iter().all(|it| it.name != **name)) {
        let problem = format!("there is no story {unknown} in {}", folder.display());
        return Err(Unrecorded::Origin(problem));
    }
    let unready = |story: &&Story| !ready && !story.before.is_empty();
    let named = |story: &&Story| chosen.contains(&story.name.as_str());
    if let Some(story) = stories.iter().filter(named).find(unready) {
        let name = &story.name;
        let problem = format!("story {name} has `before`: it is recorded from a sandbox alone");
        return Err(Unrecorded::Origin(problem));
    }
    let url = Url::parse(&origin.base_url)
        .map_err(|error| Unrecorded::Origin(format!("the base URL: {error}")))?;
    let base_path = url.path().trim_end_matches('/').to_owned();
    let real = System { base_path, ..system.clone() };
    let mut written = vec![];
    // What comes in is written by hand: there is nobody to ask for it.
    let wanted = |story: &&Story| {
        let chosen = chosen.is_empty() || named(story);
        chosen && story.requests.is_empty() && story.by_hand.is_none() && !unready(story)
    };
    for story in stories.iter().filter(wanted) {
        let systems = (&real, &system);
        let recorded = one(connector, systems, story, (origin, ready), &url).await?;
        written.push((folder.join(format!("{}.json", story.name)), recorded));
    }
    Ok(written)
}

/// Records one story and gives the text of its file. The system's real base path may tell whose
/// account it is: the file has that of `system.json`.
async fn one(
    connector: &Connector,
    (real, system): (&System, &System),
    story: &Story,
    (origin, ready): (&Origin, bool),
    url: &Url,
) -> Result<String, Unrecorded> {
    let proxy = Arc::new(Proxy::new(url).map_err(Unrecorded::Origin)?);
    let server = Server::start(proxy.clone()).await?;
    proxy.stands_at(&server.origin());
    let failed = |problem: String| Unrecorded::Failed { story: story.name.clone(), problem };
    let stage = Stage::live((connector, real, story), server, origin.account.clone());
    if ready {
        let api = stage.api().map_err(|error| failed(error.to_string()))?;
        let before = system.before.iter().chain(&story.before);
        before::ask(&api, before).await.map_err(failed)?;
        proxy.forget();
    }
    let (live, error) = outcome(&stage).await.map_err(failed)?;
    // A failure is recorded where it means something, or where the story says that it shows it.
    let shows = |error: &Error| story.expect == Some(Expect::Error(Kind::of(error)));
    if let Some(error) = error
        && !matches!(error, Error::Reject { .. } | Error::Config { .. })
        && !shows(&error)
    {
        let problem = proxy.problem().unwrap_or_else(|| error.to_string());
        return Err(failed(problem));
    }
    let mut standins = Standins::new((real, system), story, &origin.account);
    let exchanges = standins.exchanges(&proxy.placed());
    let mut recorded = Story { exchanges, expect: None, ..story.clone() };
    let stage = Stage::set(connector, system, &recorded).await?;
    let (played, _) = outcome(&stage).await.map_err(failed)?;
    if shape(&live) != shape(&played) {
        let heard = stage.tape.heard();
        let stray = heard.iter().find(|heard| heard.exchange.is_none());
        let stray = stray.map(|heard| format!(", since it asks {}", heard.shown()));
        let played = shape(&played) + &stray.unwrap_or_default();
        let (story, live) = (story.name.clone(), shape(&live));
        return Err(Unrecorded::Changed { story, live, played });
    }
    drop(stage);
    recorded.expect = Some(played);
    let text = serde_json::to_string_pretty(&recorded);
    let text = text.map_err(|error| failed(error.to_string()))?;
    if let Some(what) = standins.remains(&text) {
        return Err(Unrecorded::Remains { story: story.name.clone(), what });
    }
    Ok(text + "\n")
}

async fn outcome(stage: &Stage<'_>) -> Result<(Expect, Option<Error>), String> {
    let story = stage.story;
    if let Some(name) = &story.trigger {
        let found = stage.connector.find_trigger(name);
        let descriptor = found.ok_or_else(|| format!("there is no trigger {name}"))?;
        return Ok(trigger::outcome(&Play::new(stage, descriptor)).await);
    }
    let name = story.action.as_deref().unwrap_or_default();
    let found = stage.connector.find_action(name);
    let descriptor = found.ok_or_else(|| format!("there is no action {name}"))?;
    Ok(action::Play::new(stage, descriptor)?.outcome().await)
}

/// What must be the same whatever the data are: how many of what.
fn shape(expect: &Expect) -> String {
    match expect {
        Expect::Error(kind) => match kind {
            Kind::Config => "an error (config)".to_owned(),
            kind => format!("an error ({kind:?})"),
        },
        Expect::Scans(scans) => {
            let pages =
                scans.iter().map(|scan| scan.pages.iter().map(Vec::len).collect::<Vec<_>>());
            format!("pages of {:?} records", pages.collect::<Vec<_>>())
        }
        Expect::Outcomes(outcomes) => {
            let words = outcomes.iter().map(|it| match it {
                Became::Done { .. } => "done",
                Became::Rejected { code, .. } => code,
                Became::Retry => "retry",
                Became::Unknown => "unknown",
                Became::Parked { .. } => "parked",
            });
            format!("the outcomes {}", words.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod ready_tests;
#[cfg(test)]
mod tests;
