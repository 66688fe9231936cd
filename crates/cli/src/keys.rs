//! Where the master key comes from: the environment, a key file, or one made at the first run.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use store::{MasterKey, SledStore};

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
    let file = SledStore::key_file(store, &path).await.context("the key file").map_err(failed)?;
    if file.created {
        say(&format!(
            "made a new key at {}: keep a copy, without it the store cannot be read",
            path.display()
        ));
    }
    Ok(file.key)
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
