//! What seals an archive: its head in the open, and the frames behind it, each bound to the head, to
//! its number and to whether it is the last.

use std::io::{self, Read};
use std::path::Path;

use chacha20poly1305::aead::{Aead as _, Generate, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};

use crate::error::{Error, Result};
use crate::vault::{KeyId, MasterKey};

const MAGIC: &[u8; 16] = b"towpath archive\n";

/// The version that this program writes.
const VERSION: u32 = 1;

/// The length of what stands at the beginning in the open.
pub(super) const HEAD_LEN: usize = 16 + 4 + 16 + 8;
const NONCE_LEN: usize = 24;

/// What stands at the beginning of an archive in the open.
pub(super) struct Head {
    id: [u8; 16],
    pub(super) key: KeyId,
}

impl Head {
    pub(super) fn new(key: KeyId) -> Self {
        Self { id: Generate::generate(), key }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        [&MAGIC[..], &VERSION.to_be_bytes(), &self.id, &self.key.0].concat()
    }

    pub(super) fn read(file: &mut impl Read, path: &Path) -> Result<Self> {
        let damaged = |reason: &str| Error::Archive {
            path: path.to_owned(),
            at: 0,
            reason: reason.to_owned(),
        };
        let mut head = [0; HEAD_LEN];
        file.read_exact(&mut head).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it is too short for one"),
            _ => Error::io("read", path, error),
        })?;
        let (magic, rest) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(damaged("it does not begin like one"));
        }
        let (version, rest) = rest.split_at(4);
        let version = version.try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX);
        if version > VERSION {
            return Err(Error::NewerFormat { found: version, known: VERSION });
        }
        let (id, key) = rest.split_at(16);
        match (id.try_into(), key.try_into()) {
            (Ok(id), Ok(key)) if version == VERSION => Ok(Self { id, key: KeyId(key) }),
            _ => Err(damaged("there was never such a version")),
        }
    }
}

/// Seals or opens the frames of one archive in their order.
pub(super) struct Frames {
    cipher: XChaCha20Poly1305,
    pub(super) head: Head,
    number: u64,
}

impl Frames {
    pub(super) fn new(key: &MasterKey, head: Head) -> Self {
        let key = key.derive("towpath archive v1: sealing");
        Self { cipher: XChaCha20Poly1305::new(&key.into()), head, number: 0 }
    }

    pub(super) fn seal(&mut self, plain: &[u8], last: bool) -> Result<Vec<u8>> {
        let nonce = XNonce::generate();
        let aad = self.address(last);
        let sealed = self.cipher.encrypt(&nonce, Payload { msg: plain, aad: &aad });
        let sealed =
            sealed.map_err(|_| Error::Database { doing: "seal", reason: "too long".to_owned() })?;
        self.number += 1;
        Ok([&nonce[..], &sealed].concat())
    }

    pub(super) fn open(&mut self, sealed: &[u8], last: bool) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let payload = Payload { msg: sealed, aad: &self.address(last) };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        self.number += 1;
        Some(plain)
    }

    fn address(&self, last: bool) -> Vec<u8> {
        let mut address = self.head.encode();
        address.extend_from_slice(&self.number.to_be_bytes());
        address.push(u8::from(last));
        address
    }
}
