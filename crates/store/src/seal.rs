//! Sealing of entries, and hashes that say nothing without the key.

use chacha20poly1305::aead::{Aead as _, AeadInOut as _, Generate as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};

use crate::error::{Error, Result};
use crate::trees::Tree;
use crate::vault::{KeyId, MasterKey};

/// The envelope of a text as it is.
const PLAIN: u8 = 1;
/// The envelope of a text that was compressed: LZ4, behind the length of the text (4 bytes, little
/// end first).
const COMPRESSED: u8 = 2;
const ID_LEN: usize = 8;
const NONCE_LEN: usize = 24;
const HEADER_LEN: usize = 1 + ID_LEN + NONCE_LEN;
const TAG_LEN: usize = 16;
const KEY_LEN: usize = 32;

/// A text of fewer bytes than these is sealed as it is.
const COMPRESSED_FROM: usize = 512;

/// Seals and opens entries with keys derived from the master key.
///
/// An envelope is format (1 byte), key id (8), nonce (24, random), then the sealed text with its
/// tag. It is bound to its address: moved to another tree or key it does not open. What compresses
/// is compressed before: the longest texts are records, which say the same names over and over.
pub(crate) struct Sealer {
    id: KeyId,
    cipher: XChaCha20Poly1305,
    hash_key: [u8; KEY_LEN],
    check_key: [u8; KEY_LEN],
}

impl Sealer {
    pub(crate) fn new(key: &MasterKey) -> Self {
        Self {
            id: key.id(),
            cipher: XChaCha20Poly1305::new(&key.derive("towpath store v1: sealing").into()),
            hash_key: key.derive("towpath store v1: keyed hashes"),
            check_key: key.derive("towpath store v1: block checks"),
        }
    }

    /// The same seal with the hashes of a store that was made under another key.
    pub(crate) fn with_hashes(self, hashes: &[u8]) -> Option<Self> {
        let (hash_key, check_key) = hashes.split_at_checked(KEY_LEN)?;
        let (hash_key, check_key) = (hash_key.try_into().ok()?, check_key.try_into().ok()?);
        Some(Self { hash_key, check_key, ..self })
    }

    /// The keys of all hashes, which a store keeps when its master key changes.
    pub(crate) fn hashes(&self) -> Vec<u8> {
        [self.hash_key, self.check_key].concat()
    }

    /// The id of the key that seals.
    pub(crate) const fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn seal(&self, tree: Tree, key: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let nonce = XNonce::generate();
        let mut envelope = envelope(plain);
        let format = envelope.first().copied().unwrap_or(PLAIN);
        let (header, text) = envelope.split_at_mut(HEADER_LEN);
        header[1..=ID_LEN].copy_from_slice(&self.id.0);
        header[1 + ID_LEN..].copy_from_slice(&nonce);
        let aad = self.address(format, tree, key);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce, &aad, text.into())
            .map_err(|_| Error::Database { doing: "seal", reason: "too long".to_owned() })?;
        envelope.extend_from_slice(&tag);
        Ok(envelope)
    }

    pub(crate) fn open(&self, tree: Tree, key: &[u8], envelope: &[u8]) -> Result<Vec<u8>> {
        let corrupt = |reason| Error::corrupt(tree, key, reason);
        let wants = Self::sealed_by(tree, key, envelope)?;
        if wants != self.id {
            return Err(Error::WrongKey { wants, given: Some(self.id) });
        }
        let format = envelope.first().copied().unwrap_or_default();
        let (nonce, sealed) = envelope
            .get(1 + ID_LEN..)
            .and_then(|rest| rest.split_first_chunk::<NONCE_LEN>())
            .ok_or_else(|| corrupt("the entry is cut off"))?;
        let aad = self.address(format, tree, key);
        let text = self
            .cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
            .map_err(|_| corrupt("the entry is not the one that was sealed"))?;
        if format == PLAIN {
            return Ok(text);
        }
        // What opens is what was sealed: its length is the one that was written.
        lz4_flex::block::decompress_size_prepended(&text)
            .map_err(|_| corrupt("the entry does not decompress"))
    }

    /// Reads from an envelope which key sealed it.
    pub(crate) fn sealed_by(tree: Tree, key: &[u8], envelope: &[u8]) -> Result<KeyId> {
        match envelope.split_first() {
            Some((&(PLAIN | COMPRESSED), rest)) => rest
                .first_chunk::<ID_LEN>()
                .map(|id| KeyId(*id))
                .ok_or_else(|| Error::corrupt(tree, key, "the entry is cut off")),
            Some((&newer, _)) if newer > COMPRESSED => {
                Err(Error::NewerFormat { found: u32::from(newer), known: u32::from(COMPRESSED) })
            }
            _ => Err(Error::corrupt(tree, key, "the entry has no known format")),
        }
    }

    pub(crate) fn keyed_hash(&self, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.hash_key);
        add(&mut hasher, domain.as_bytes());
        parts.iter().for_each(|part| add(&mut hasher, part));
        *hasher.finalize().as_bytes()
    }

    /// Returns what shows that parts are unchanged, with a key that no other hash uses.
    pub(crate) fn check(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.check_key);
        parts.iter().for_each(|part| add(&mut hasher, part));
        let hash = *hasher.finalize().as_bytes();
        std::array::from_fn(|at| hash[at])
    }

    /// What an entry is bound to: format, sealing key, tree and key.
    fn address(&self, format: u8, tree: Tree, key: &[u8]) -> Vec<u8> {
        let mut address = vec![format];
        address.extend_from_slice(&self.id.0);
        address.extend_from_slice(tree.name().as_bytes());
        // No tree's name has a zero byte, so no two addresses read alike.
        address.push(0);
        address.extend_from_slice(key);
        address
    }
}

/// Returns an envelope that is open yet: its format, room for key id and nonce, and the text.
fn envelope(plain: &[u8]) -> Vec<u8> {
    let header = |format| std::iter::once(format).chain([0; HEADER_LEN - 1]);
    if plain.len() >= COMPRESSED_FROM
        && let Ok(length) = u32::try_from(plain.len())
    {
        let most = lz4_flex::block::get_maximum_output_size(plain.len());
        let mut envelope: Vec<u8> = header(COMPRESSED).chain(length.to_le_bytes()).collect();
        let text = envelope.len();
        envelope.resize(text + most, 0);
        let room = envelope.get_mut(text..).unwrap_or_default();
        let written = lz4_flex::block::compress_into(plain, room);
        // What saves no eighth is not worth the time that opening it takes.
        if let Ok(written) = written
            && written < plain.len() / 8 * 7
        {
            envelope.truncate(text + written);
            envelope.reserve_exact(TAG_LEN);
            envelope.shrink_to(text + written + TAG_LEN);
            return envelope;
        }
    }
    let mut envelope = Vec::with_capacity(HEADER_LEN + plain.len() + TAG_LEN);
    envelope.extend(header(PLAIN));
    envelope.extend_from_slice(plain);
    envelope
}

fn add(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_be_bytes());
    hasher.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_opens_at_its_own_address_only() {
        let sealer = Sealer::new(&MasterKey::generate());
        let sealed = sealer.seal(Tree::Vault, b"a", b"token").unwrap();
        assert_eq!(sealer.open(Tree::Vault, b"a", &sealed).unwrap(), b"token");
        assert!(!sealed.windows(5).any(|part| part == b"token"));
        let again = sealer.seal(Tree::Vault, b"a", b"token").unwrap();
        assert_ne!(sealed, again);
        for (tree, key) in [(Tree::Heads, b"a"), (Tree::Vault, b"b")] {
            assert!(matches!(sealer.open(tree, key, &sealed), Err(Error::Corrupt { .. })));
        }
    }

    #[test]
    fn what_compresses_is_compressed_and_what_does_not_is_left() {
        let sealer = Sealer::new(&MasterKey::generate());
        let record = br#"{"email":"ada@example.com","first_name":"Ada","last_name":"Lovelace"}"#;
        let noise: Vec<u8> =
            (0..256_u32).flat_map(|at| *blake3::hash(&at.to_be_bytes()).as_bytes()).collect();
        for (plain, format) in [
            (record.repeat(1_000), COMPRESSED),
            (record.repeat(8), COMPRESSED),
            (record.to_vec(), PLAIN),
            (vec![], PLAIN),
            (noise, PLAIN),
        ] {
            let sealed = sealer.seal(Tree::Journal, b"a", &plain).unwrap();
            assert_eq!(sealed[0], format, "{} bytes", plain.len());
            assert_eq!(sealed.capacity(), sealed.len());
            assert!(sealed.len() <= HEADER_LEN + plain.len() + TAG_LEN);
            assert_eq!(sealer.open(Tree::Journal, b"a", &sealed).unwrap(), plain);
            // What is said of the text's form is sealed with it.
            let mut other = sealed;
            other[0] = PLAIN + COMPRESSED - format;
            assert!(matches!(sealer.open(Tree::Journal, b"a", &other), Err(Error::Corrupt { .. })));
        }
        assert!(sealer.seal(Tree::Journal, b"a", &record.repeat(1_000)).unwrap().len() < 2_000);
    }

    #[test]
    fn damage_is_told_from_another_key_and_from_a_newer_format() {
        let sealer = Sealer::new(&MasterKey::generate());
        let sealed = sealer.seal(Tree::Vault, b"a", b"token").unwrap();
        for cut in 0..sealed.len() {
            let error = sealer.open(Tree::Vault, b"a", &sealed[..cut]).unwrap_err();
            assert!(matches!(error, Error::Corrupt { tree: "vault", .. }), "{cut}: {error}");
        }
        let mut newer = sealed.clone();
        newer[0] = 3;
        let error = sealer.open(Tree::Vault, b"a", &newer).unwrap_err();
        assert!(matches!(error, Error::NewerFormat { found: 3, known: 2 }));
        let other = Sealer::new(&MasterKey::generate());
        let error = other.open(Tree::Vault, b"a", &sealed).unwrap_err();
        assert!(error.to_string().contains(&sealer.id.to_string()), "{error}");
        assert!(matches!(error, Error::WrongKey { wants, .. } if wants == sealer.id));
    }
}
