//! The master key: where it comes from, and how its file is made.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::Generate;
use secrecy::{ExposeSecret as _, SecretBox};

use crate::error::{Error, Result};
use crate::{files, layout};

const KEY_LEN: usize = 32;

/// The key that every other key of a store is derived from: 32 bytes that are never shown.
pub struct MasterKey(SecretBox<[u8; KEY_LEN]>);

/// A key with what became of its file.
#[derive(Debug)]
pub struct KeyFile {
    /// The key.
    pub key: MasterKey,
    /// Whether the file was made just now; the operator should be told to keep it.
    pub created: bool,
}

/// Names a key without giving anything of it away: 8 bytes of a hash of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId(pub(crate) [u8; 8]);

impl MasterKey {
    /// Makes a new key from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_bytes(Generate::generate())
    }

    /// Reads a key from text: base64 or hexadecimal, blanks around it ignored.
    ///
    /// Anything else is [`Error::KeyText`], which does not repeat the text.
    pub fn from_text(text: &str) -> Result<Self> {
        Self::from_hex(text).or_else(|_| Self::from_base64(text))
    }

    /// Reads a key from 44 characters of base64.
    pub fn from_base64(text: &str) -> Result<Self> {
        let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|_| Error::KeyText)?;
        bytes.try_into().map(Self::from_bytes).map_err(|_| Error::KeyText)
    }

    /// Reads a key from 64 hexadecimal characters.
    pub fn from_hex(text: &str) -> Result<Self> {
        let hash = blake3::Hash::from_hex(text.trim()).map_err(|_| Error::KeyText)?;
        Ok(Self::from_bytes(*hash.as_bytes()))
    }

    /// Reads the key from its file; a file that is not there is [`Error::NoKey`].
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = files::read(path)?.ok_or_else(|| Error::NoKey { path: path.to_owned() })?;
        Self::from_text(std::str::from_utf8(&bytes).map_err(|_| Error::KeyText)?)
    }

    /// Reads the key from its file, or makes the file, for its owner alone, with a new key.
    ///
    /// When several processes come at once, one key wins and all of them return it. Never call
    /// this for a store that is already there: its key may only be brought back
    /// ([`SledStore::key_file`](crate::SledStore::key_file) minds that).
    pub fn load_or_create(path: &Path) -> Result<KeyFile> {
        match Self::load(path) {
            Err(Error::NoKey { .. }) => Self::create(path),
            loaded => loaded.map(|key| KeyFile { key, created: false }),
        }
    }

    fn create(path: &Path) -> Result<KeyFile> {
        let folder = files::folder_of(path);
        files::create_folder(folder)?;
        let key = Self::generate();
        let temporary = files::temporary_beside(path);
        files::write_new(&temporary, format!("{}\n", key.to_base64()).as_bytes())?;
        // A link, not a rename: it never puts a second key in the place of one that another
        // process made and already uses.
        let linked = fs::hard_link(&temporary, path);
        files::remove(&temporary)?;
        match linked {
            Ok(()) => {
                files::sync_folder(folder)?;
                Ok(KeyFile { key, created: true })
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(KeyFile { key: Self::load(path)?, created: false })
            }
            Err(error) => Err(Error::io("create the key file", path, error)),
        }
    }

    /// Writes the key into a new file for its owner alone; one that is there is an error.
    pub fn write_new(&self, path: &Path) -> Result<()> {
        let folder = files::folder_of(path);
        files::create_folder(folder)?;
        files::write_new(path, format!("{}\n", self.to_base64()).as_bytes())?;
        files::sync_folder(folder)
    }

    /// Returns the key's name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let id = self.derive("towpath store v1: key id");
        KeyId(std::array::from_fn(|at| id[at]))
    }

    /// Derives the key for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; KEY_LEN] {
        blake3::derive_key(purpose, self.0.expose_secret())
    }

    fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0.expose_secret())
    }
}

impl Clone for MasterKey {
    fn clone(&self) -> Self {
        Self::from_bytes(*self.0.expose_secret())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&layout::hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_both_spellings_and_from_no_other() {
        let hex = "0f".repeat(KEY_LEN);
        let base64 = BASE64_STANDARD.encode([0x0f; KEY_LEN]);
        let id = MasterKey::from_text(&hex).unwrap().id();
        assert_eq!(MasterKey::from_text(&format!(" {base64}\n")).unwrap().id(), id);
        assert_ne!(MasterKey::generate().id(), id);
        for wrong in ["", "secret", &"0f".repeat(31), &base64.replace('=', "")] {
            let error = MasterKey::from_text(wrong).unwrap_err().to_string();
            assert!(error.contains("not 32 bytes") && !error.contains("secret"), "{error}");
        }
        assert_eq!(format!("{:?}", MasterKey::from_text(&hex).unwrap()), "MasterKey(…)");
    }

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config").join("key");
        assert!(matches!(MasterKey::load(&path), Err(Error::NoKey { .. })));
        let first = MasterKey::load_or_create(&path).unwrap();
        let second = MasterKey::load_or_create(&path).unwrap();
        assert!(first.created && !second.created);
        assert_eq!(first.key.id(), second.key.id());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        // A file that another process made in between wins over the new key.
        let raced = MasterKey::create(&path).unwrap();
        assert!(!raced.created);
        assert_eq!(raced.key.id(), first.key.id());
    }
}
