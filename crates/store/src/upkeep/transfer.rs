//! Archives of a running store: backups, exports of some flows, and flows taken in.

use std::collections::BTreeSet;
use std::path::Path;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::archive::{Item, Manifest, Reader, Totals, Writer};
use super::verify;
use super::walk::Sink;
use crate::error::{Error, Result};
use crate::format::{self, FORMAT, SAME_ENTRIES_SINCE};
use crate::pieces::Pieces;
use crate::protocol::Home as _;
use crate::sled::{SledStore, blocking};
use crate::vault::MasterKey;

/// Hears how far a long work has come: bytes done, and of how many if that is known.
pub type Told<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// What was written or read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    /// Flows that had committed.
    pub flows: u64,
    /// Entries of every kind.
    pub entries: u64,
    /// Their bytes before sealing.
    pub bytes: u64,
    /// The length of the file.
    pub length: u64,
}

impl Moved {
    pub(crate) const fn new(totals: Totals, length: u64) -> Self {
        let Totals { flows, entries, bytes } = totals;
        Self { flows, entries, bytes, length }
    }
}

impl SledStore {
    /// Writes an archive of everything, or of some flows without the vault, while the store is in
    /// use: the entries of each flow are those of one commit, and commits of that flow wait.
    ///
    /// The file is there with its name only when it is whole. A damaged entry is an error: what is
    /// damaged is in no archive.
    pub async fn export(
        &self,
        file: &Path,
        key: &MasterKey,
        flows: Option<&[String]>,
        at: i64,
        told: Told<'_>,
    ) -> Result<Moved> {
        let core = self.core();
        let known = core.all_flows().await?;
        if let Some(missing) = flows.map(|flows| missing(flows, &known)).filter(|it| !it.is_empty())
        {
            return Err(Error::NoSuchFlows { flows: missing });
        }
        let manifest = Manifest {
            format: format::of(&core.trees).await?,
            at,
            whole: flows.is_none(),
            hashes: core.sealer.hashes(),
            openings: format::opened(&core.trees).await?,
        };
        let (path, key) = (file.to_owned(), key.clone());
        let writer = blocking("write the archive", move || Writer::new(&path, &key, &manifest));
        let mut sink =
            Archive { writer: Some(writer.await?), held: Vec::new(), size: 0, done: 0, told };
        for flow in flows.unwrap_or(&known) {
            core.walk_flow(flow, &mut sink).await?;
        }
        if flows.is_none() {
            core.walk_vault(&mut sink).await?;
        }
        sink.finish().await
    }

    /// Takes flows of an archive in, all of them or those that are named; flows that are here
    /// already are refused, and then nothing was written.
    ///
    /// The archive has to come from this store, or from one that has the same hashes.
    pub async fn import(
        &self,
        file: &Path,
        key: &MasterKey,
        flows: Option<&[String]>,
        told: Told<'_>,
    ) -> Result<Moved> {
        let core = self.core();
        let mut reader = open(file, key).await?;
        if !(SAME_ENTRIES_SINCE..=FORMAT).contains(&reader.manifest.format) {
            let reason = format!(
                "it has format {}, and flows are taken in of formats {SAME_ENTRIES_SINCE} to \
                 {FORMAT} alone: restore it into an empty place, and export them from there",
                reader.manifest.format
            );
            return Err(Error::Archive { path: file.to_owned(), at: 0, reason });
        }
        if reader.manifest.hashes != core.sealer.hashes() {
            return Err(Error::OtherStore);
        }
        // The whole archive is looked at before anything is written.
        let mut held = BTreeSet::new();
        loop {
            let (again, items) = frame(reader).await?;
            reader = again;
            let Some(items) = items else { break };
            held.extend(items.iter().filter_map(flow_of));
        }
        let asked: Vec<String> = match flows {
            Some(flows) => flows.to_vec(),
            None => held.iter().cloned().collect(),
        };
        let held: Vec<String> = held.into_iter().collect();
        let missing = missing(&asked, &held);
        if !missing.is_empty() {
            return Err(Error::NoSuchFlows { flows: missing });
        }
        let known = core.flows().await?;
        let there: Vec<String> = asked.iter().filter(|it| known.contains(it)).cloned().collect();
        if !there.is_empty() {
            return Err(Error::FlowsExist { flows: there });
        }
        let mut pieces = Pieces::to(&core.trees);
        let mut totals = Totals::default();
        let mut reader = open(file, key).await?;
        loop {
            let (again, items) = frame(reader).await?;
            reader = again;
            let Some(items) = items else { break };
            for item in items {
                if flow_of(&item).is_some_and(|flow| asked.contains(&flow)) {
                    totals.add(&item);
                    pieces.add([core.sealed(item)?]).await?;
                }
            }
            let (length, read) = reader.place();
            told(read, Some(length));
        }
        pieces.finish().await?;
        Ok(Moved::new(totals, reader.place().0))
    }
}

/// The flow that an entry belongs to; `None` for one of the vault.
fn flow_of(item: &Item) -> Option<String> {
    verify::flow_of(item.tree, &item.key)
}

fn missing(asked: &[String], known: &[String]) -> Vec<String> {
    asked.iter().filter(|flow| !known.contains(flow)).cloned().collect()
}

/// Opens an archive off the reactor's threads.
pub(crate) async fn open(file: &Path, key: &MasterKey) -> Result<Reader> {
    let (path, key) = (file.to_owned(), key.clone());
    blocking("read the archive", move || Reader::open(&path, &key)).await
}

/// Reads the next frame off the reactor's threads.
pub(crate) async fn frame(mut reader: Reader) -> Result<(Reader, Option<Vec<Item>>)> {
    blocking("read the archive", move || {
        let items = reader.next()?;
        Ok((reader, items))
    })
    .await
}

/// So many bytes go to the archive's writer at once.
const AT_ONCE: usize = 512 * 1024;

/// Writes the entries of a walk into an archive.
struct Archive<'a> {
    /// Away while it writes.
    writer: Option<Writer>,
    held: Vec<Item>,
    size: usize,
    done: u64,
    told: Told<'a>,
}

impl Archive<'_> {
    async fn write(&mut self) -> Result<()> {
        let (items, writer) = (std::mem::take(&mut self.held), self.writer.take());
        let Some(mut writer) = writer else { return Err(Error::Interrupted) };
        self.done += self.size as u64;
        self.size = 0;
        let write = move || {
            items.iter().try_for_each(|item| writer.add(item))?;
            Ok(writer)
        };
        self.writer = Some(blocking("write the archive", write).await?);
        (self.told)(self.done, None);
        Ok(())
    }

    async fn finish(mut self) -> Result<Moved> {
        self.write().await?;
        let Some(writer) = self.writer.take() else { return Err(Error::Interrupted) };
        let (totals, length) = blocking("write the archive", move || writer.finish()).await?;
        Ok(Moved::new(totals, length))
    }
}

#[async_trait]
impl Sink for Archive<'_> {
    async fn put(&mut self, item: Item) -> Result<()> {
        self.size += item.key.len() + item.plain.len();
        self.held.push(item);
        if self.size >= AT_ONCE {
            self.write().await?;
        }
        Ok(())
    }
}
