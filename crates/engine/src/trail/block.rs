//! The bytes of a block: what is told, each once, then an entry an event.
//!
//! `1`, the number of things told and each with its length, the number of events and each as the
//! record's tag, the message's tag, `2 · place + 1 if a key follows`, and that key. Numbers have
//! seven bits a byte, the lowest first.

use std::sync::Arc;

use super::Kind;
use super::answer::KEY;

const FORMAT: u8 = 1;

/// What a block says of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace<'a> {
    /// The tag of the record's key.
    pub(crate) key: [u8; 8],
    /// The tag of the message's id.
    pub(crate) message: [u8; 8],
    pub(crate) kind: Kind,
    /// The step's id; `None` is the trigger, or no place at all.
    pub(crate) step: Option<&'a str>,
    /// Answer, code or dead letter, by kind; [`answer`](Self::answer) gives an answer whole.
    pub(crate) text: &'a str,
    /// The record's key in the target system.
    pub(crate) target: Option<&'a str>,
}

impl Trace<'_> {
    /// The answer as the system gave it, in short.
    pub(crate) fn answer(&self) -> String {
        self.text.replace(KEY, self.target.unwrap_or_default())
    }
}

pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // The lowest seven bits, and the mark that more follow.
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn write(told: &[Arc<str>], count: u64, events: &[u8]) -> Vec<u8> {
    let room: usize = told.iter().map(|line| line.len() + 2).sum();
    let mut out = Vec::with_capacity(events.len() + room + 16);
    out.push(FORMAT);
    number(&mut out, told.len() as u64);
    told.iter().for_each(|line| text(&mut out, line));
    number(&mut out, count);
    out.extend_from_slice(events);
    out
}

/// Gives what a block tells, in the order in which it happened; `None` if it is no such block.
pub(crate) fn walk<'a>(block: &'a [u8], each: &mut dyn FnMut(Trace<'a>)) -> Option<()> {
    let mut rest = Reader(block.strip_prefix(&[FORMAT])?);
    let lines = rest.number()?;
    let told: Option<Vec<&str>> = (0..lines).map(|_| rest.text()).collect();
    let count = rest.number()?;
    events(&told?, rest.0, count, each)
}

pub(super) fn events<'a>(
    told: &[&'a str],
    events: &'a [u8],
    count: u64,
    each: &mut dyn FnMut(Trace<'a>),
) -> Option<()> {
    let told: Option<Vec<_>> = told.iter().map(|line| split(line)).collect();
    let told = told?;
    let mut rest = Reader(events);
    for _ in 0..count {
        let (key, message) = (rest.tag()?, rest.tag()?);
        let place = rest.number()?;
        let target = if place & 1 == 1 { Some(rest.text()?) } else { None };
        let (kind, step, text) = *told.get(usize::try_from(place >> 1).ok()?)?;
        each(Trace { key, message, kind, step, text, target });
    }
    rest.0.is_empty().then_some(())
}

fn split(line: &str) -> Option<(Kind, Option<&str>, &str)> {
    let (head, text) = line.split_once('\0')?;
    let mut step = head.chars();
    let kind = match step.next()? as u32 {
        1 => Kind::Delivered,
        2 => Kind::Filtered,
        3 => Kind::Refused,
        4 => Kind::Parked,
        5 => Kind::InDoubt,
        6 => Kind::Deleted,
        7 => Kind::Replayed,
        8 => Kind::Superseded,
        9 => Kind::Edited,
        10 => Kind::Dropped,
        11 => Kind::Echoed,
        12 => Kind::Overruled,
        _ => return None,
    };
    Some((kind, Some(step.as_str()).filter(|step| !step.is_empty()), text))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn tag(&mut self) -> Option<[u8; 8]> {
        let (tag, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(*tag)
    }
}
