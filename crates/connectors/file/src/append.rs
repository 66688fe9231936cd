//! `append`: writes each batch to the end of a file, whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use connector::Rejection;
use connector::prelude::*;

use crate::folder::{self, Place, failed};
use crate::ledger::{self, Ledger};
use crate::read::{Format, Separator};
use crate::{FOLDER, csv};

const NO_OBJECT: Rejection = Rejection::new(
    "noObject",
    "a line of CSV is made of an object, and the mapping gives something else",
    "look at the mapping",
);
const UNWRITABLE: Rejection =
    Rejection::new("unwritable", "the record cannot be written", "look at the mapping");

/// Appends each message to a file: a JSON value a line, or a line of CSV. A batch is in the file as a
/// whole or not at all, and a message once, also after a crash: a file beside it, `.NAME.towpath`,
/// says what is in it. Nobody else may write to the file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "path": "orders.ndjson" }]))]
pub(crate) struct Append {
    /// The file, below the account's folder; it is made if it is not there.
    path: String,
    /// How records are written.
    #[serde(default)]
    format: Format,
    /// What separates the columns of CSV.
    #[serde(default)]
    separator: Separator,
    /// The columns of CSV, in their order; they are the first line of a new file. A column that a
    /// record lacks is empty.
    #[serde(default)]
    columns: Vec<String>,
}

/// What is appended.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "record": { "id": "279", "name": "Ada" } }]))]
pub(crate) struct Line {
    /// Any value as JSON; an object for CSV, whose fields are the columns.
    record: Value,
}

/// What is to be written of a batch.
struct Text {
    /// The places in the batch.
    places: Vec<usize>,
    ids: Vec<String>,
    lines: Vec<String>,
}

#[async_trait]
impl Action for Append {
    type Input = Line;
    const MAX_BATCH: usize = 1000;
    const REJECTIONS: &'static [Rejection] = &[NO_OBJECT, UNWRITABLE];

    fn validate(&self) -> Result<(), String> {
        folder::check(&self.path)?;
        match (self.format, self.columns.is_empty()) {
            (Format::Csv, true) => Err("CSV needs `columns`".to_owned()),
            (Format::Ndjson, false) => Err("`columns` are those of `format: csv`".to_owned()),
            _ => Ok(()),
        }
    }

    fn idempotent(&self) -> bool {
        true // The ids of what is in the file stand beside it.
    }

    async fn run(&self, api: &Api, batch: &Batch<Line>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let (mut places, mut ids, mut lines) = (vec![], vec![], vec![]);
        for (index, item) in batch.items.iter().enumerate() {
            match self.line(&item.input.record) {
                Ok(line) => {
                    places.push(index);
                    ids.push(item.id.to_string());
                    lines.push(line);
                }
                Err(refused) => outcomes.set(index, refused),
            }
        }
        let text = Text { places, ids, lines };
        let (it, folder) = (self.clone(), api.account().values().get(FOLDER).to_owned());
        let writing = tokio::task::spawn_blocking(move || it.write(&folder, text));
        let written = writing.await;
        let written = written.map_err(|error| Error::retry(format!("writing stopped: {error}")))?;
        for index in written? {
            outcomes.set(index, Outcome::done(json!({ "path": self.path })));
        }
        Ok(outcomes)
    }
}

impl Append {
    fn line(&self, record: &Value) -> Result<String, Outcome> {
        if self.format == Format::Ndjson {
            let line = serde_json::to_string(record);
            return line
                .map(|line| format!("{line}\n"))
                .map_err(|error| UNWRITABLE.because(error.to_string()));
        }
        let Some(fields) = record.as_object() else {
            return Err(NO_OBJECT.because("the record is no object"));
        };
        let texts: Vec<String> = self
            .columns
            .iter()
            .map(|column| fields.get(column).map(csv::text).unwrap_or_default())
            .collect();
        Ok(csv::write(texts.iter().map(String::as_str), self.separator.char()))
    }

    /// Writes what is not there yet, and gives the places of all that is there now.
    fn write(&self, folder: &str, text: Text) -> Result<Vec<usize>> {
        let Text { places, ids, lines } = text;
        if places.is_empty() {
            return Ok(places);
        }
        let place = folder::place(folder, &self.path)?;
        let mut ledger = Ledger::open(&place)?;
        let known = ledger.known();
        let mut fresh: Vec<&str> = vec![];
        let mut bytes = String::new();
        for (id, line) in ids.iter().zip(&lines) {
            if !known.contains(id.as_str()) && !fresh.contains(&id.as_str()) {
                fresh.push(id.as_str());
                bytes.push_str(line);
            }
        }
        if fresh.is_empty() {
            return Ok(places);
        }
        let lost = |error| failed(&self.path, "it cannot be written", &error);
        let (mut file, length) = self.whole(&place, ledger.length)?;
        if ledger.length.is_none() && !ends_line(&mut file, length).map_err(lost)? {
            bytes.insert(0, '\n');
        }
        if ledger.length != Some(length) {
            // Otherwise a batch that a crash cuts off would pass for what was there before.
            ledger.note(length, &[])?;
        }
        if length == 0 && self.format == Format::Csv {
            let header = csv::write(self.columns.iter().map(String::as_str), self.separator.char());
            bytes.insert_str(0, &header);
        }
        file.seek(SeekFrom::Start(length)).map_err(lost)?;
        if let Err(error) = file.write_all(bytes.as_bytes()).and_then(|()| file.sync_all()) {
            // A full disk leaves no half of it; if that fails too, the next call does it.
            drop(file.set_len(length));
            return Err(lost(error));
        }
        if length == 0 {
            ledger::sync_folder(&place).map_err(lost)?;
        }
        ledger.note(length + bytes.len() as u64, &fresh)?;
        Ok(places)
    }

    /// Opens the file, without what a crash left of a batch; says how long it is.
    fn whole(&self, place: &Place, known: Option<u64>) -> Result<(File, u64)> {
        let lost = |error| failed(&self.path, "it cannot be written", &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = place.open(&options)?;
        let found = file.metadata().map_err(lost)?.len();
        // Of a file that was there before the first batch nobody knows where its last line ends but
        // by its end.
        let length = known.unwrap_or(found);
        if found < length {
            // It was moved away or emptied on purpose: what was in it is not written again.
            return Ok((file, found));
        }
        if found > length {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(lost)?;
        }
        Ok((file, length))
    }
}

/// Whether the last line of a file of so many bytes has its end.
fn ends_line(file: &mut File, length: u64) -> std::io::Result<bool> {
    let Some(last) = length.checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.seek(SeekFrom::Start(last))?;
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
}
