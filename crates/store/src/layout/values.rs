//! How values are laid out: heads, and what is said of a payload in front of it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::{Counts, LetterState};

/// A flow's head as it is kept: the commit point, and which entries count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub(crate) tip: Tip,
    pub(crate) snapshot: Vec<u8>,
}

/// Where a flow's commits stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The last committed sequence; 0 before the first.
    pub(crate) sequence: u64,
    /// The first sequence whose seen blocks count.
    pub(crate) seen_from: u64,
    /// How many seen entries the blocks that count hold together, so that a lost block shows.
    pub(crate) seen_entries: u64,
    pub(crate) counts: Counts,
}

const TIP_LEN: usize = 9 * 8;

/// Ends a head that counts echoes. No snapshot ends so: it is text.
const ECHO_COUNTS: &[u8; 8] = b"\0echoes\0";

fn split_echo_counts(rest: &[u8]) -> (&[u8], [u64; 2]) {
    let counted = rest.strip_suffix(ECHO_COUNTS).and_then(|rest| {
        let (rest, overruled) = rest.split_last_chunk::<8>()?;
        let (snapshot, echoed) = rest.split_last_chunk::<8>()?;
        Some((snapshot, [u64::from_be_bytes(*echoed), u64::from_be_bytes(*overruled)]))
    });
    counted.unwrap_or((rest, [0, 0]))
}

impl StoredHead {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Tip { sequence, seen_from, seen_entries, counts } = self.tip;
        let Counts { records, emitted, unchanged, filtered, delivered, dead_lettered, .. } = counts;
        let mut bytes = Vec::with_capacity(TIP_LEN + self.snapshot.len());
        for number in [
            sequence,
            seen_from,
            seen_entries,
            records,
            emitted,
            unchanged,
            filtered,
            delivered,
            dead_lettered,
        ] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.snapshot);
        // Behind the snapshot, and only where there are any: heads of earlier formats have none.
        if counts.echoed > 0 || counts.overruled > 0 {
            for number in [counts.echoed, counts.overruled] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            bytes.extend_from_slice(ECHO_COUNTS);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.split_first_chunk::<TIP_LEN>()?;
        let (snapshot, [echoed, overruled]) = split_echo_counts(rest);
        let mut numbers = numbers.chunks_exact(8).filter_map(|number| number.try_into().ok());
        let mut next = || numbers.next().map(u64::from_be_bytes);
        let tip = Tip {
            sequence: next()?,
            seen_from: next()?,
            seen_entries: next()?,
            counts: Counts {
                records: next()?,
                emitted: next()?,
                unchanged: next()?,
                filtered: next()?,
                delivered: next()?,
                dead_lettered: next()?,
                echoed,
                overruled,
            },
        };
        Some(Self { tip, snapshot: snapshot.to_vec() })
    }
}

/// A dead letter as it is kept, but for its payload, which follows it as it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredLetter {
    pub(crate) message_id: String,
    pub(crate) step: Option<String>,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) at: i64,
    pub(crate) record_key: String,
    // What follows is not in letters of the first format.
    #[serde(default)]
    pub(crate) partition_key: [u8; 16],
    #[serde(default)]
    pub(crate) state: LetterState,
    /// Empty: the one at `at` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attempts: Vec<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) edited: Option<i64>,
}

/// Parked work as it is kept, but for its payload, which follows it as it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredParked {
    pub(crate) message_id: String,
    pub(crate) step: String,
    pub(crate) record_key: String,
    pub(crate) partition_key: [u8; 16],
    pub(crate) since: i64,
    pub(crate) check_at: i64,
    pub(crate) deadline: i64,
    pub(crate) token: String,
}

/// A snapshot of the history as it is kept, but for its bytes, which follow it as they are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredCause {
    pub(crate) at: i64,
    pub(crate) what: String,
}

/// Puts bytes as they are behind what is said of them.
pub(crate) fn join<H: Serialize>(head: &H, bytes: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let head = serde_json::to_vec(head)?;
    let mut joined = (head.len() as u64).to_be_bytes().to_vec();
    joined.extend_from_slice(&head);
    joined.extend_from_slice(bytes);
    Ok(joined)
}

/// Reads what [`join`] wrote.
pub(crate) fn split<H: DeserializeOwned>(joined: &[u8]) -> Option<(H, &[u8])> {
    let (len, rest) = joined.split_first_chunk::<8>()?;
    let (head, bytes) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
    Some((serde_json::from_slice(head).ok()?, bytes))
}
