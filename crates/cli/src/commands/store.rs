//! `towpath store`: looking after what flows remember.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use comfy_table::{Table, presets};
use connector::{Clock, SystemClock, Timestamp};
use indicatif::HumanBytes;
use serde_json::json;
use store::upkeep::{self, Answer, Looked, Moved, Overview, Request, Verified};
use store::{Error, MasterKey, SledStore};

use crate::args::Store;
use crate::commands::check::counted;
use crate::exit::{Exit, Failed, Result};
use crate::hold;
use crate::keys;
use crate::progress::{Work, print, print_json};
use crate::project::Project;

pub(crate) async fn run(config: Option<&Path>, command: Store, json: bool) -> Result {
    let project = Project::read(config)?;
    let path = project.store_path();
    let makes_one = matches!(command, Store::Restore { .. } | Store::Import { .. });
    if !makes_one && !SledStore::exists(&path) {
        return Err(failed(anyhow!(
            "there is no store at {}: nothing has run here",
            path.display()
        )));
    }
    let work = Work::new(json);
    match command {
        Store::Show => {
            let Answer::Overview(overview) = ask(&project, Request::Overview, &work).await? else {
                return Err(unexpected());
            };
            show(&project, &overview, json);
        }
        Store::Verify => {
            let Answer::Verified(verified) = ask(&project, Request::Verify, &work).await? else {
                return Err(unexpected());
            };
            return Ok(say_verified(&verified, json));
        }
        Store::Backup { file } => archive(&project, &file, None, &work, json).await?,
        Store::Export { file, flow } => {
            let flows = flow.iter().map(|name| project.flow_name(name)).collect::<Result<_>>()?;
            archive(&project, &file, Some(flows), &work, json).await?;
        }
        Store::Restore { file, key_file } => {
            let key = keys::master_key(&path).await?;
            let from = archive_key(&file, key_file.as_deref(), &key)?;
            let options = project.store_options(&key);
            let told = |done, of| work.at(done, of);
            let moved = upkeep::restore(&file, &from, options, &told).await.map_err(failed)?;
            work.done();
            say_moved("restored", &path, moved, json);
        }
        Store::Import { file, flow, key_file } => {
            let (store, key) = project.sled_store(crate::args::Durability::Full).await?;
            let from = archive_key(&file, key_file.as_deref(), &key)?;
            let flows = Some(flow).filter(|flows| !flows.is_empty());
            let told = |done, of| work.at(done, of);
            let moved =
                store.import(&file, &from, flows.as_deref(), &told).await.map_err(failed)?;
            work.done();
            say_moved("imported", &path, moved, json);
        }
        Store::Compact => {
            let done = keys::with_key(&path, async |key| {
                let told = |done, of| work.at(done, of);
                let options = project.store_options(key);
                upkeep::compact_watched(options, None, hold::store_points(), &told).await
            });
            let done = done.await?;
            work.done();
            say_compacted(&path, &done, json);
        }
        Store::Rekey { new_key_file } => {
            rekey(&project, &path, new_key_file.as_deref(), &work, json).await?;
        }
    }
    Ok(Exit::Done)
}

/// Has something done with the store: here, or by the process that has it open.
async fn ask(project: &Project, request: Request, work: &Work) -> Result<Answer> {
    let path = project.store_path();
    let told = |done, of| work.at(done, of);
    let done = keys::with_key(&path, async |key| match &request {
        Request::Verify => upkeep::verify(project.store_options(key)).await.map(Answer::Verified),
        Request::Overview => {
            let store = Looked::open(project.store_options(key)).await?;
            store.overview().await.map(Answer::Overview)
        }
        Request::Export { file, flows, at } => {
            let store = Looked::open(project.store_options(key)).await?;
            let flows = flows.as_deref();
            store.export(file, key, flows, *at, &told).await.map(Answer::Exported)
        }
        Request::Holder(_) => Ok(Answer::Failed("nobody has the store open".to_owned())),
    });
    let answer = match done.await {
        Err(Failed { error, exit }) => match error.downcast_ref() {
            Some(Error::Locked { .. }) => {
                upkeep::ask(&path, &request, &told).await.map_err(failed)?
            }
            _ => return Err(Failed { error, exit }),
        },
        Ok(answer) => answer,
    };
    work.done();
    match answer {
        Answer::Failed(reason) => Err(failed(anyhow!(reason))),
        answer => Ok(answer),
    }
}

async fn archive(
    project: &Project,
    file: &Path,
    flows: Option<Vec<String>>,
    work: &Work,
    json: bool,
) -> Result<()> {
    // Whoever has the store open may be in another folder.
    let whole = std::path::absolute(file).context("the file's place").map_err(failed)?;
    let at = SystemClock.now().millis();
    let request = Request::Export { file: whole, flows, at };
    let Answer::Exported(moved) = ask(project, request, work).await? else {
        return Err(unexpected());
    };
    say_moved("written", file, moved, json);
    Ok(())
}

/// The key of an archive: the one that was named, the store's, or one of earlier times.
fn archive_key(file: &Path, named: Option<&Path>, own: &MasterKey) -> Result<MasterKey> {
    if let Some(path) = named {
        let key = MasterKey::load(path);
        return key.with_context(|| path.display().to_string()).map_err(failed);
    }
    let wants = upkeep::archive_key(file).map_err(failed)?;
    if wants == own.id() {
        return Ok(own.clone());
    }
    Ok(keys::named(wants)?.unwrap_or_else(|| own.clone()))
}

async fn rekey(
    project: &Project,
    path: &Path,
    new_key_file: Option<&Path>,
    work: &Work,
    json: bool,
) -> Result<()> {
    // The new key is on the disk before anything is sealed with it.
    let (new, file): (MasterKey, PathBuf) = keys::new_key(new_key_file)?;
    let told = |done, of| work.at(done, of);
    let done = keys::with_key(path, async |key| {
        let options = project.store_options(key);
        upkeep::compact_watched(options, Some(&new), hold::store_points(), &told).await
    });
    let done = done.await?;
    work.done();
    if json {
        print_json(&json!({
            "key": new.id().to_string(), "keyFile": file.display().to_string(),
            "entries": done.kept.entries,
        }));
        return Ok(());
    }
    print(&format!(
        "{}: {} sealed with key {}, in {}",
        path.display(),
        plural(done.kept.entries),
        new.id(),
        file.display()
    ));
    match new_key_file {
        Some(_) => print("from now on give this key, by TOWPATH_KEY_FILE or TOWPATH_KEY"),
        None => print("it is found there from now on: keep a copy"),
    }
    print("backups made before need the old key");
    Ok(())
}

fn show(project: &Project, overview: &Overview, json: bool) {
    if json {
        print_json(&json!(overview));
        return;
    }
    print(&format!(
        "{}: {} on disk, format {}, key {}, opened {}",
        project.store_path().display(),
        HumanBytes(overview.on_disk),
        overview.format,
        overview.key,
        counted(overview.openings, "time"),
    ));
    let mut kinds = Table::new();
    kinds.load_style(presets::NOTHING).set_header(["kind", "entries", "size"]);
    for kind in overview.kinds.iter().filter(|kind| kind.entries > 0) {
        let size = HumanBytes(kind.bytes).to_string();
        kinds.add_row([kind.kind.replace('_', " "), kind.entries.to_string(), size]);
    }
    print(&format!("\n{}", kinds.trim_fmt()));
    let mut flows = Table::new();
    flows.load_style(presets::NOTHING).set_header([
        "flow",
        "size",
        "commits",
        "seen",
        "dead letters",
        "oldest",
        "parked",
        "journal",
        "trail since",
    ]);
    let time = |at: Option<i64>| {
        at.map_or_else(|| "-".to_owned(), |at| Timestamp::from_millis(at).to_string())
    };
    for flow in &overview.flows {
        let letters = match flow.closed_letters {
            0 => flow.open_letters.to_string(),
            closed => format!("{} and {closed} done", flow.open_letters),
        };
        flows.add_row([
            flow.flow.clone(),
            HumanBytes(flow.bytes).to_string(),
            flow.commits.to_string(),
            flow.seen.to_string(),
            letters,
            time(flow.oldest_letter),
            flow.parked.to_string(),
            flow.journaled.to_string(),
            time(flow.trail_since),
        ]);
    }
    if !overview.flows.is_empty() {
        print(&format!("\n{}", flows.trim_fmt()));
    }
}

fn say_verified(verified: &Verified, json: bool) -> Exit {
    let damaged = !verified.damage.is_empty();
    if json {
        print_json(&json!(verified));
    } else {
        for damage in &verified.damage {
            let kind = damage.kind.replace('_', " ");
            print(&format!("damaged: {kind}, {}", damage.what));
        }
        print(&format!(
            "{} of {} read, {} damaged",
            plural(verified.entries),
            counted(verified.flows, "flow"),
            verified.damage.len()
        ));
        if damaged {
            print("restore a backup, or take the flows that are whole: `towpath store export`");
        }
    }
    if damaged { Exit::Store } else { Exit::Done }
}

fn plural(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

fn say_moved(what: &str, path: &Path, moved: Moved, json: bool) {
    let path = path.display();
    if json {
        print_json(&json!({ what: path.to_string(), "moved": moved }));
        return;
    }
    print(&format!(
        "{path}: {what}, {} of {}, {}",
        plural(moved.entries),
        counted(moved.flows, "flow"),
        HumanBytes(moved.length)
    ));
}

fn say_compacted(path: &Path, done: &upkeep::Compacted, json: bool) {
    if json {
        let (before, after) = (done.before, done.after);
        print_json(&json!({ "before": before, "after": after, "entries": done.kept.entries }));
        return;
    }
    print(&format!(
        "{}: {} before, {} now, {} kept and read back",
        path.display(),
        HumanBytes(done.before),
        HumanBytes(done.after),
        plural(done.kept.entries)
    ));
}

fn failed(error: impl Into<anyhow::Error>) -> Failed {
    Failed { exit: Exit::Store, error: error.into() }
}

fn unexpected() -> Failed {
    Failed { exit: Exit::Unexpected, error: anyhow!("the answer is to another question") }
}
