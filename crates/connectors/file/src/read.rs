//! `read`: finds the records that are added to a file.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};

use connector::prelude::*;
use serde_json::Map;

use crate::folder::{self, Place, failed, identity};
use crate::lines::{self, Ends};
use crate::{FOLDER, csv};

/// So many bytes are read at once, and a record has at most so many.
const AT_ONCE: usize = 1024 * 1024;

/// So many records has a page at most.
const MOST: usize = 1000;

/// So many bytes before the place tell whether the file is still the one that was read.
const TAIL: u64 = 256;

/// Finds the records that are added to a file: JSON lines, or CSV whose first line names the
/// columns. Each poll goes on where the last one ended; a line that is not finished is left for the
/// next poll. A file that was moved away is read to its end before the new one is begun, and one that
/// was emptied or written anew is read from its beginning.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "path": "orders.ndjson", "keyAt": "/id" }]))]
pub(crate) struct Read {
    /// The file, below the account's folder.
    path: String,
    /// How records are written.
    #[serde(default)]
    pub(crate) format: Format,
    /// What separates the columns of CSV.
    #[serde(default)]
    separator: Separator,
    /// Where in a record its key is, as a JSON Pointer such as `/id`; of CSV, the column. Records
    /// with the same key keep their order. Without it a record's key is its place in the file.
    #[serde(default)]
    key_at: Option<String>,
    /// What becomes of a line that cannot be read: `stop` holds the flow before it, and `text` makes
    /// a record of it that is just the text.
    #[serde(default)]
    bad_lines: BadLines,
}

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Format {
    /// A JSON value a line.
    #[default]
    Ndjson,
    /// Comma-separated values; the first line names the columns.
    Csv,
}

/// What separates columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Separator {
    /// `,`
    #[default]
    Comma,
    /// `;`
    Semicolon,
    /// A tabulator.
    Tab,
}

impl Separator {
    pub(crate) const fn char(self) -> char {
        match self {
            Self::Comma => ',',
            Self::Semicolon => ';',
            Self::Tab => '\t',
        }
    }
}

/// What becomes of a line that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum BadLines {
    /// The flow is held before it.
    #[default]
    Stop,
    /// It becomes a record that is just the text.
    Text,
}

/// Where a reader is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct At {
    /// Device and number of the file, which stay when it is moved.
    file: (u64, u64),
    /// How many bytes were read.
    offset: u64,
    /// The hash of the last bytes before that.
    tail: String,
    /// The columns of CSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
}

#[async_trait]
impl PollingTrigger for Read {
    type Cursor = At;
    const CHANGES: Changes = Changes::Appended;

    fn validate(&self) -> Result<(), String> {
        folder::check(&self.path)?;
        if self.key_at.as_ref().is_some_and(|it| !it.starts_with('/')) {
            return Err("`keyAt` is no JSON Pointer: it begins with `/`".to_owned());
        }
        Ok(())
    }

    async fn poll(&self, api: &Api, scan: &Scan<At>) -> Result<Page<At>> {
        let (it, folder) = (self.clone(), api.account().values().get(FOLDER).to_owned());
        let at = scan.cursor.clone();
        let reading = tokio::task::spawn_blocking(move || it.page(&folder, at));
        reading.await.map_err(|error| Error::retry(format!("reading stopped: {error}")))?
    }
}

impl Read {
    fn page(&self, folder: &str, at: Option<At>) -> Result<Page<At>> {
        let place = folder::place(folder, &self.path)?;
        let Some(at) = at else {
            return self.from(&place, place.open(OpenOptions::new().read(true))?, None, false);
        };
        let lost = |error| failed(&self.path, "it cannot be read", &error);
        if let Some(mut file) = find(&place, at.file)?
            && continues(&mut file, &at).map_err(lost)?
        {
            let moved = place.look()?.is_none_or(|found| identity(&found) != at.file);
            let page = self.from(&place, file, Some(at.clone()), moved)?;
            if !page.records.is_empty() || !moved {
                return Ok(page);
            }
            // Moved away and read to its end: what is in its place now is next.
        }
        match place.look()? {
            Some(_) => self.from(&place, place.open(OpenOptions::new().read(true))?, None, false),
            None => Err(missing(&place)),
        }
    }

    /// Reads on in a file, from a place or from its beginning. Of one that was `moved` away nobody
    /// finishes the last line.
    fn from(&self, place: &Place, mut file: File, at: Option<At>, moved: bool) -> Result<Page<At>> {
        let lost = |error| failed(&self.path, "it cannot be read", &error);
        let found = file.metadata().map_err(lost)?;
        let mut at = at.unwrap_or_else(|| At {
            file: identity(&found),
            offset: 0,
            tail: hash(&[]),
            columns: None,
        });
        file.seek(SeekFrom::Start(at.offset)).map_err(lost)?;
        let mut bytes = vec![];
        (&mut file).take(AT_ONCE as u64).read_to_end(&mut bytes).map_err(lost)?;
        let ends = if self.format == Format::Csv { Ends::Csv } else { Ends::Lines };
        let mut whole = lines::whole(&bytes, ends, MOST);
        if whole.is_empty() && bytes.len() == AT_ONCE {
            let reason = format!(
                "{}: the record at byte {} has more than {AT_ONCE} bytes, or a quote that is not closed",
                place.name, at.offset
            );
            return Err(Error::config(reason));
        }
        if whole.is_empty() && moved && !bytes.is_empty() {
            whole.push(&bytes);
        }
        let mut records = vec![];
        let mut offset = at.offset;
        for line in whole {
            let (begin, text) = (offset, lines::trimmed(line));
            offset += line.len() as u64;
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match self.record(place, at.file, begin, text, &mut at.columns) {
                Ok(record) => records.extend(record),
                // What was read before it is given first.
                Err(error) if records.is_empty() => return Err(error),
                Err(_) => {
                    offset = begin;
                    break;
                }
            }
        }
        at.offset = offset;
        at.tail = tail(&mut file, offset).map_err(lost)?;
        Ok(Page { records, next: Some(at) })
    }

    /// The record of a line; none of the line that names the columns.
    fn record(
        &self,
        place: &Place,
        file: (u64, u64),
        begin: u64,
        line: &[u8],
        columns: &mut Option<Vec<String>>,
    ) -> Result<Option<Record>> {
        let bad = |problem: &str| {
            let name = &place.name;
            Error::config(format!(
                "{name}: the line at byte {begin} cannot be read: {problem}; correct it, or write \
                 `badLines: text`, which makes a record of its text"
            ))
        };
        let read = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned());
        let read = read.and_then(|text| match self.format {
            Format::Ndjson => serde_json::from_str::<Box<RawValue>>(text)
                .map(Some)
                .map_err(|error| format!("it is not JSON at column {}", error.column())),
            Format::Csv => {
                let fields = csv::read(text, self.separator.char())?;
                let Some(names) = columns else {
                    *columns = Some(fields);
                    return Ok(None);
                };
                if fields.len() != names.len() {
                    let (found, wanted) = (fields.len(), names.len());
                    return Err(format!("it has {found} fields, and there are {wanted} columns"));
                }
                let values = fields.into_iter().map(Value::String);
                let object: Map<_, _> = names.iter().cloned().zip(values).collect();
                let raw = serde_json::value::to_raw_value(&object);
                raw.map(Some).map_err(|error| error.to_string())
            }
        });
        let data = match read {
            Ok(None) => return Ok(None),
            Ok(Some(data)) => data,
            Err(problem) if self.bad_lines == BadLines::Stop => return Err(bad(&problem)),
            Err(_) => {
                let text = String::from_utf8_lossy(line);
                let raw = serde_json::value::to_raw_value(&*text);
                raw.map_err(|error| bad(&error.to_string()))?
            }
        };
        let key = match &self.key_at {
            None => None,
            Some(pointer) => {
                let value: Value = serde_json::from_str(data.get()).unwrap_or_default();
                match value.pointer(pointer) {
                    Some(Value::String(key)) if !key.is_empty() => Some(key.clone()),
                    Some(Value::Number(key)) => Some(key.to_string()),
                    _ if self.bad_lines == BadLines::Text => None,
                    _ => return Err(bad(&format!("it has no text or number at {pointer}"))),
                }
            }
        };
        let key = key.unwrap_or_else(|| format!("{:x}-{:x}-{begin}", file.0, file.1));
        Ok(Some(Record { key, version: None, data }))
    }
}

fn missing(place: &Place) -> Error {
    Error::retry(format!("there is no file {}", place.name))
}

/// Finds a file that may have been moved within its folder.
fn find(place: &Place, file: (u64, u64)) -> Result<Option<File>> {
    let open = |place: &Place| place.open(OpenOptions::new().read(true)).map(Some);
    if let Some(found) = place.look()?
        && identity(&found) == file
    {
        return open(place);
    }
    let Some(folder) = place.path.parent().filter(|_| file != (0, 0)) else { return Ok(None) };
    let lost = |error| failed(&place.name, "its folder cannot be listed", &error);
    for entry in std::fs::read_dir(folder).map_err(lost)? {
        let entry = entry.map_err(lost)?;
        // What is gone by now was not it.
        let Ok(found) = entry.metadata() else { continue };
        if found.is_file() && identity(&found) == file {
            let name = format!("{} (moved)", place.name);
            return open(&Place { path: entry.path(), name });
        }
    }
    Ok(None)
}

/// Whether a file still begins with what was read of it.
fn continues(file: &mut File, at: &At) -> std::io::Result<bool> {
    Ok(file.metadata()?.len() >= at.offset && tail(file, at.offset)? == at.tail)
}

/// The hash of the last bytes before a place.
fn tail(file: &mut File, offset: u64) -> std::io::Result<String> {
    let begin = offset.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = vec![];
    file.take(offset - begin).read_to_end(&mut bytes)?;
    Ok(hash(&bytes))
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().chars().take(32).collect()
}
