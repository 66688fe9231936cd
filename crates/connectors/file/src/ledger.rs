//! What makes an append whole: a file beside the file that says how long it is and what is in it.
//!
//! A line a batch: the length of the file behind it and the ids of its messages, sealed by a hash.
//! It is written when the batch is on the disk; so what lies in the file behind the last line's length
//! is a batch that was cut off, and is taken away before the next one is written. A message whose id
//! stands in a line is not written again.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use connector::prelude::*;
use fs2::FileExt as _;

use crate::folder::{Place, failed};

/// So many ids are remembered at least: far more than runs have under way.
const REMEMBERED: usize = 50_000;

/// A ledger that is larger is written anew with the newest ids alone.
const LARGEST: u64 = 8 * 1024 * 1024;

/// The ledger of a file, locked as long as it is open.
pub(crate) struct Ledger {
    place: Place,
    file: File,
    /// How long the file is, as far as it is whole; `None` before the first batch.
    pub(crate) length: Option<u64>,
    /// The ids of the messages in it, the oldest first.
    ids: Vec<String>,
    /// Where the last whole line ends.
    end: u64,
}

impl Ledger {
    /// Opens the ledger of a file, and waits for whoever has it.
    pub(crate) fn open(of: &Place) -> Result<Self> {
        let place = of.beside("towpath");
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let mut file = place.open(&options)?;
            let lost = |error| failed(&place.name, "it cannot be read", &error);
            file.lock_exclusive().map_err(lost)?;
            // Another one may have put a new ledger in its place while this one waited.
            let opened = file.metadata().map_err(lost)?;
            let there = place.look()?.as_ref().map(crate::folder::identity);
            if there != Some(crate::folder::identity(&opened)) {
                continue;
            }
            let mut bytes = vec![];
            file.read_to_end(&mut bytes).map_err(lost)?;
            let mut ledger = Self { place, file, length: None, ids: vec![], end: 0 };
            ledger.read(&bytes);
            return Ok(ledger);
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
            let parsed = text.and_then(|text| {
                let (hash, rest) = text.split_once(' ')?;
                let mut words = (sealed(rest) == hash).then(|| rest.split(' '))?;
                Some((words.next()?.parse::<u64>().ok()?, words.map(str::to_owned)))
            });
            // A line that was cut off counts as not written, and so does all behind it.
            let Some((length, ids)) = parsed else { return };
            self.length = Some(length);
            self.ids.extend(ids.filter(|id| !id.is_empty()));
            self.end += line.len() as u64;
        }
    }

    /// The ids that are in the file.
    pub(crate) fn known(&self) -> HashSet<&str> {
        self.ids.iter().map(String::as_str).collect()
    }

    /// Says that the file is so long with these messages; durable when it returns.
    pub(crate) fn note(&mut self, length: u64, ids: &[&str]) -> Result<()> {
        let line = line(length, ids);
        let name = self.place.name.clone();
        let lost = |error| failed(&name, "it cannot be written", &error);
        if self.end > LARGEST {
            return self.renew(length, ids).map_err(lost);
        }
        let write = |it: &mut Self| {
            it.file.set_len(it.end)?;
            it.file.seek(SeekFrom::Start(it.end))?;
            it.file.write_all(line.as_bytes())?;
            it.file.sync_all()
        };
        write(self).map_err(lost)?;
        if self.end == 0 {
            sync_folder(&self.place).map_err(lost)?;
        }
        self.end += line.len() as u64;
        self.length = Some(length);
        Ok(())
    }

    /// Writes a new ledger with the newest ids, and puts it in the place of this one.
    fn renew(&self, length: u64, ids: &[&str]) -> std::io::Result<()> {
        let newest = self.ids.len().saturating_sub(REMEMBERED);
        let kept = self.ids.iter().skip(newest).map(String::as_str).chain(ids.iter().copied());
        let kept: Vec<_> = kept.collect();
        let fresh = self.place.beside("new");
        let mut file = File::create(&fresh.path)?;
        file.write_all(line(length, &kept).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh.path, &self.place.path)?;
        sync_folder(&self.place)
    }
}

fn line(length: u64, ids: &[&str]) -> String {
    let rest = format!("{length} {}", ids.join(" "));
    format!("{} {rest}\n", sealed(&rest))
}

fn sealed(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(16).collect()
}

/// Makes the names in a file's folder durable.
pub(crate) fn sync_folder(place: &Place) -> std::io::Result<()> {
    match place.path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
