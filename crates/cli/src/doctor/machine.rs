//! The machine: its clock, and how many files a process may have open.

use std::time::Duration;

use connector::Timestamp;

use super::Sheet;
use super::files::Known;
use super::holder::{Health, Holder};
use crate::exit::Failed;
use crate::times::ago;

/// No clock that is right is before this: 2026-01-01.
const EARLIEST: Timestamp = Timestamp::from_secs(1_767_225_600);
/// So far a clock may be set back before anybody is told.
const DRIFT: Duration = Duration::from_secs(60);

/// Files and sockets of a process with nothing under way.
const IDLE: u64 = 128;
/// A run has so many connections at once, about.
const OF_A_RUN: u64 = 8;
/// So many runs may be under way unless somebody says otherwise.
const MOST_RUNS: u64 = 64;
/// So many connections a service takes at once.
const CONNECTIONS: u64 = 1024;

pub(super) fn look(
    sheet: &mut Sheet,
    (holder, known): (&Holder, &Known),
    (health, now): (Option<&Result<Health, Failed>>, Timestamp),
) {
    sheet.group("machine");
    clock(sheet, health, now);
    open_files(sheet, holder, known);
}

fn clock(sheet: &mut Sheet, health: Option<&Result<Health, Failed>>, now: Timestamp) {
    let way_out = "set the clock, and have it kept by NTP: snapshots and logins go by it";
    let flows = health.and_then(|health| health.as_ref().ok()).into_iter();
    let newest = flows.flat_map(|it| &it.flows).filter_map(|flow| flow.last_run).max();
    match newest {
        _ if now < EARLIEST => {
            sheet.error("clock", "clock", format!("{now} is in the past"), way_out);
        }
        Some(newest) if newest > now.plus(DRIFT) => {
            let says =
                format!("{now}, and the last run ended {}: it was set back", ago(newest, now));
            sheet.error("clock", "clock", says, way_out);
        }
        _ => sheet.ok("clock", "clock", now.to_string()),
    }
}

/// Whether as many files may be open as runs and callers may need at once.
fn open_files(sheet: &mut Sheet, holder: &Holder, known: &Known) {
    let process = holder.service().map_or("self".to_owned(), |client| client.pid().to_string());
    // Only Linux tells so; where nobody does there is nothing to say.
    let Ok(limits) = std::fs::read_to_string(format!("/proc/{process}/limits")) else { return };
    let Some(most) = most_files(&limits) else { return };
    let runs = (known.flows.len() as u64).min(MOST_RUNS);
    let callers = if known.called().is_empty() { 0 } else { CONNECTIONS };
    let needs = IDLE + runs * OF_A_RUN + callers;
    let says = format!("{most} may be open at once");
    if most < needs {
        let says = format!("{says}, and up to {needs} may be needed");
        let way_out = "raise the limit: LimitNOFILE= of the unit, or `ulimit -n` before the start";
        sheet.warning("openFiles", "files", says, way_out);
    } else {
        sheet.ok("openFiles", "files", says);
    }
}

/// The limit that holds, of what the system tells of a process; `None` if there is none.
fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max cpu time              unlimited            unlimited            seconds   \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(most_files(limits), Some(1024));
        assert_eq!(most_files("Max open files            unlimited    unlimited    files"), None);
        assert_eq!(most_files(""), None);
    }
}
