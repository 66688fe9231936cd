//! Pages that come short, empty, twice or for ever: a scan still finds every record, or fails.

use std::collections::BTreeSet;

use connector::{Error, Page, Result};
use serde_json::Value;

use crate::poll::{Call, Play};
use crate::promise::{Ledger, Promise};
use crate::records;
use crate::stage::{Ended, Played};
use crate::story::Response;
use crate::tape::{Fault, Spoil};

/// A recorded page that can be changed: where its records are.
struct Paper<'a> {
    /// Its number in the story, from 1.
    number: usize,
    call: &'a Call,
    exchange: usize,
    response: &'a Response,
    place: String,
    /// Whether it is the last of its scan.
    last: bool,
}

impl Paper<'_> {
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.call.page.records.iter().map(|record| record.key.as_str())
    }
}

pub(crate) async fn check(play: &Play<'_>, calls: &[Call], ledger: &mut Ledger) {
    let papers: Vec<Paper<'_>> = calls
        .iter()
        .enumerate()
        .filter_map(|(index, call)| {
            call.exchanges.iter().find_map(|exchange| {
                let response = &play.stage.tape.exchange(*exchange)?.response;
                let place = records::place(response, &call.page)?;
                let last = call.page.next.is_none();
                Some(Paper { number: index + 1, call, exchange: *exchange, response, place, last })
            })
        })
        .collect();
    let all = |partition: &str| -> BTreeSet<&str> {
        let own = calls.iter().filter(|call| call.partition == partition);
        own.flat_map(|call| call.page.records.iter().map(|it| it.key.as_str())).collect()
    };
    for paper in &papers {
        let keys = all(&paper.call.partition);
        short(play, paper, &keys, ledger).await;
        twice(play, paper, &keys, ledger).await;
    }
    for pair in papers.windows(2) {
        let [before, paper] = pair else { continue };
        if before.call.partition == paper.call.partition {
            let keys = all(&paper.call.partition);
            repeated(play, before, paper, &keys, ledger).await;
        }
    }
    for first in papers.iter().filter(|paper| paper.call.cursor.is_none() && !paper.last) {
        let scan = papers.iter().filter(|paper| paper.call.partition == first.call.partition);
        let at = scan.map(|paper| paper.exchange).collect();
        for_ever(play, first, at, &all(&first.call.partition), ledger).await;
    }
}

/// A page with a record less, and one with none. What the page does not show is not found; what
/// the others show is.
async fn short(play: &Play<'_>, paper: &Paper<'_>, all: &BTreeSet<&str>, ledger: &mut Ledger) {
    if play.stage.system.short_page_ends && !paper.last {
        return;
    }
    let len = paper.call.page.records.len();
    let mut lengths = BTreeSet::from([0, len.saturating_sub(1)]);
    lengths.remove(&len);
    for short in lengths {
        ledger.mutate(format!("page {} comes with {short} records instead of {len}", paper.number));
        let answer = records::changed(paper.response, &paper.place, |list| list.truncate(short));
        let gone: BTreeSet<&str> = paper.keys().skip(short).collect();
        let played =
            scan(play, paper, Fault::at(paper.exchange, Spoil::Other(answer)), ledger).await;
        if played.strayed() {
            continue;
        }
        let wanted: BTreeSet<&str> = all.difference(&gone).copied().collect();
        match &played.ended {
            Ended::Gave(pages) => found(Promise::ShortPage, &wanted, pages, ledger),
            Ended::Failed(error) => {
                let expected = "the records of the other pages";
                ledger.breaks(Promise::ShortPage, expected, format!("{error:?}"));
            }
            Ended::Stuck => {}
        }
    }
}

/// The first record comes again in the place of the last.
async fn twice(play: &Play<'_>, paper: &Paper<'_>, all: &BTreeSet<&str>, ledger: &mut Ledger) {
    let keys: Vec<&str> = paper.keys().collect();
    let (Some(last), true) = (keys.last(), keys.len() > 1) else { return };
    ledger.mutate(format!("page {} holds its first record twice", paper.number));
    let answer = records::changed(paper.response, &paper.place, |list| {
        list.pop();
        list.extend(list.first().cloned());
    });
    let played = scan(play, paper, Fault::at(paper.exchange, Spoil::Other(answer)), ledger).await;
    if played.strayed() {
        return;
    }
    let wanted: BTreeSet<&str> = all.iter().filter(|key| *key != last).copied().collect();
    match &played.ended {
        Ended::Gave(pages) => found(Promise::Twice, &wanted, pages, ledger),
        Ended::Failed(error) => ledger.breaks(Promise::Twice, "no error", format!("{error:?}")),
        Ended::Stuck => {}
    }
}

/// A page's question is answered with the page before. The records that belong there come in some
/// other way, or the scan fails and is taken up again.
async fn repeated(
    play: &Play<'_>,
    before: &Paper<'_>,
    paper: &Paper<'_>,
    all: &BTreeSet<&str>,
    ledger: &mut Ledger,
) {
    ledger.mutate(format!("page {} comes as page {} again", paper.number, before.number));
    let fault = Fault::at(paper.exchange, Spoil::Other(before.response.clone()));
    let played = scan(play, paper, fault, ledger).await;
    if let Ended::Gave(pages) = &played.ended {
        found(Promise::Repeated, all, pages, ledger);
    }
}

/// Every question is answered with the first page.
async fn for_ever(
    play: &Play<'_>,
    first: &Paper<'_>,
    at: Vec<usize>,
    all: &BTreeSet<&str>,
    ledger: &mut Ledger,
) {
    ledger.mutate("every page comes as page 1");
    let spoil = Spoil::Other(first.response.clone());
    let fault = Fault { at, spoil, lasting: true, unrecorded: true };
    let before = ledger.broken.len();
    let played = scan(play, first, fault, ledger).await;
    if let Ended::Gave(pages) = &played.ended
        && ledger.broken.len() == before
    {
        found(Promise::Repeated, all, pages, ledger);
    }
}

/// Scans the partition of a page from its beginning.
async fn scan(
    play: &Play<'_>,
    paper: &Paper<'_>,
    fault: Fault,
    ledger: &mut Ledger,
) -> Played<Vec<Page<Value>>> {
    let most = play.stage.tape.len() + 10;
    let mut endless = false;
    let played = play.stage.play(Some(fault), ledger, pages(play, paper, most, &mut endless)).await;
    if endless {
        let got = format!("more than {most} pages");
        ledger.breaks(Promise::Endless, "an end of the scan, or an error", got);
    }
    played
}

async fn pages(
    play: &Play<'_>,
    paper: &Paper<'_>,
    most: usize,
    endless: &mut bool,
) -> Result<Vec<Page<Value>>> {
    let (trigger, api) = (play.trigger()?, play.stage.api()?);
    let mut pages: Vec<Page<Value>> = vec![];
    loop {
        let cursor = pages.last().and_then(|page| page.next.clone());
        let scan = play.scan(&paper.call.partition, cursor.clone());
        let page = trigger.poll(&api, &scan).await?;
        if page.next.is_some() && page.next == cursor {
            return Err(Error::config("the engine refuses the same cursor again"));
        }
        let more = page.next.is_some();
        pages.push(page);
        if !more {
            return Ok(pages);
        }
        if pages.len() > most {
            *endless = true;
            return Err(Error::config("the scan does not end"));
        }
    }
}

fn found(promise: Promise, wanted: &BTreeSet<&str>, pages: &[Page<Value>], ledger: &mut Ledger) {
    let found: BTreeSet<&str> =
        pages.iter().flat_map(|page| &page.records).map(|record| record.key.as_str()).collect();
    let lost: Vec<_> = wanted.difference(&found).collect();
    if !lost.is_empty() {
        let got = format!("a scan that ends without {lost:?}");
        ledger.breaks(promise, format!("the records {wanted:?}"), got);
    }
}
