//! Where the master key comes from: the environment, a key file, or one made at the first run.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use store::{Error, KeyId, MasterKey, SledStore};

use crate::exit::{Exit, Failed};
use crate::progress::say;

/// Finds the key of a store: `TOWPATH_KEY`, else the file that `TOWPATH_KEY_FILE` names, else
/// the key file in the configuration directory, made at the first run.
///
/// A store that exists never gets a new key: without its own it could not be read.
pub(crate) async fn master_key(store: &Path) -> Result<MasterKey, Failed> {
    let failed = |error: anyhow::Error| Failed { exit: Exit::Store, error };
    if let Some(text) = std::env::var_os("TOWPATH_KEY") {
        let text = text.to_str().ok_or_else(|| failed(anyhow!("TOWPATH_KEY is not text")))?;
        let key = MasterKey::from_text(text).context("TOWPATH_KEY cannot be used");
        return key.map_err(failed);
    }
    if let Some(path) = std::env::var_os("TOWPATH_KEY_FILE") {
        let path = PathBuf::from(path);
        let key = MasterKey::load(&path);
        let key = key.with_context(|| format!("TOWPATH_KEY_FILE: {}", path.display()));
        return key.map_err(failed);
    }
    let path = key_file().map_err(failed)?;
    let file = match SledStore::key_file(store, &path).await {
        // The key file may be gone, and the store have another key than that.
        Err(Error::WrongKey { wants, given: None }) if named(wants)?.is_some() => {
            return named(wants)?.ok_or_else(|| failed(anyhow!("key {wants} is gone")));
        }
        file => file.context("the key file").map_err(failed)?,
    };
    if file.created {
        say(&format!(
            "made a new key at {}: keep a copy, without it the store cannot be read",
            path.display()
        ));
    }
    Ok(file.key)
}

/// The file that the key is read from; `None` where the environment holds the key itself.
pub(crate) fn file() -> anyhow::Result<Option<PathBuf>> {
    if std::env::var_os("TOWPATH_KEY").is_some() {
        return Ok(None);
    }
    match std::env::var_os("TOWPATH_KEY_FILE") {
        Some(path) => Ok(Some(PathBuf::from(path))),
        None => key_file().map(Some),
    }
}

/// The key file in the configuration directory, never beside the data.
fn key_file() -> anyhow::Result<PathBuf> {
    let directory = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".config")));
    let directory = directory.ok_or_else(|| {
        anyhow!("no configuration directory for the key: set HOME, TOWPATH_KEY or TOWPATH_KEY_FILE")
    })?;
    Ok(directory.join("towpath").join("key"))
}

/// Does something with the store's key; where the configuration directory holds the key that the
/// store wants under its id, with that one.
pub(crate) async fn with_key<R>(
    store: &Path,
    work: impl AsyncFn(&MasterKey) -> store::Result<R>,
) -> Result<R, Failed> {
    let key = master_key(store).await?;
    let done = match work(&key).await {
        Err(Error::WrongKey { wants, given }) => match named(wants)? {
            Some(key) => work(&key).await,
            None => Err(Error::WrongKey { wants, given }),
        },
        done => done,
    };
    done.map_err(|error| Failed { exit: Exit::Store, error: error.into() })
}

/// Returns the key with an id, if it is among those that `towpath store rekey` made.
///
/// Not where the environment names a key: then that one is meant.
pub(crate) fn named(id: KeyId) -> Result<Option<MasterKey>, Failed> {
    let failed = |error: anyhow::Error| Failed { exit: Exit::Store, error };
    if from_environment() {
        return Ok(None);
    }
    let path = keys_folder().map_err(failed)?.join(id.to_string());
    match MasterKey::load(&path) {
        Err(Error::NoKey { .. }) => Ok(None),
        key => key.with_context(|| path.display().to_string()).map_err(failed).map(Some),
    }
}

/// Makes a new key in a file: the one that is named, or one in the configuration directory.
pub(crate) fn new_key(file: Option<&Path>) -> Result<(MasterKey, PathBuf), Failed> {
    let failed = |error: anyhow::Error| Failed { exit: Exit::Store, error };
    if let Some(path) = file {
        let key = MasterKey::load_or_create(path).map_err(|error| failed(error.into()))?.key;
        return Ok((key, path.to_owned()));
    }
    if from_environment() {
        return Err(Failed {
            exit: Exit::Usage,
            error: anyhow!(
                "the key comes from the environment: name a file for the new one \
                 (--new-key-file KEY), and let the environment name that afterwards"
            ),
        });
    }
    let key = MasterKey::generate();
    let path = keys_folder().map_err(failed)?.join(key.id().to_string());
    key.write_new(&path).map_err(|error| failed(error.into()))?;
    Ok((key, path))
}

fn from_environment() -> bool {
    ["TOWPATH_KEY", "TOWPATH_KEY_FILE"].iter().any(|name| std::env::var_os(name).is_some())
}

/// The folder of keys that are found by their ids, beside the key file.
fn keys_folder() -> anyhow::Result<PathBuf> {
    Ok(key_file()?.with_file_name("keys"))
}
