//! Checks the schedule of a trigger: `every`, or `cron` with its `timezone`.

use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};
use connector::TriggerKind;

use super::cron::{self, Cron};
use super::{Schedule, expression};
use crate::file::{Spanned, TriggerFile};
use crate::finding::code;
use crate::source::Source;
use crate::{scalar, secret, suggest};

/// The schedule that a trigger's file says; `every` has been checked.
pub(crate) fn check(
    source: &mut Source<'_>,
    file: &TriggerFile,
    every: Option<Duration>,
) -> Option<Schedule> {
    let zone = file.timezone.as_ref().map(|timezone| zone(source, timezone));
    let Some(written) = &file.cron else {
        if let Some(timezone) = &file.timezone {
            let message = "`timezone` says nothing without `cron`";
            let hint = "write `cron: \"30 6 * * *\"` for a time of day, or leave `timezone` out";
            source.error(code::SCHEDULE, timezone.span.clone(), message, hint.to_owned());
        }
        return every.map(Schedule::Every);
    };
    if file.every.is_some() {
        let message = "`every` and `cron` are both there";
        let hint = "keep one of the two".to_owned();
        source.error(code::SCHEDULE, written.span.clone(), message, hint);
    }
    let calendar = match expression::read(&written.value) {
        Ok(calendar) => calendar,
        Err(problems) => {
            for problem in problems {
                let Spanned { value, span } = written;
                let span = scalar::locate(source.text(), span, value, problem.span);
                let code = if problem.never { code::NEVER } else { code::CRON };
                let message = shown(value, problem.message, "this is no cron expression");
                source.error(code, span, message, problem.hint);
            }
            return None;
        }
    };
    Some(Schedule::Cron(Cron::new(&written.value, calendar, zone.unwrap_or(Some(Tz::UTC))?)))
}

/// Refuses what says when to poll, and how far back, of a trigger that is not polled.
pub(crate) fn refuse(source: &mut Source<'_>, file: &TriggerFile, kind: TriggerKind) {
    let (which, when) = match kind {
        TriggerKind::Told => ("the runtime tells", "there is something to tell"),
        _ => ("its system calls", "something came for it"),
    };
    for (key, written) in [
        ("every", &file.every),
        ("cron", &file.cron),
        ("overlap", &file.overlap),
        ("sweep", &file.sweep),
    ] {
        let Some(written) = written else { continue };
        let message = format!("`{key}` says nothing of a trigger that {which}");
        let hint = format!("leave `{key}` out: the flow runs when {when}");
        source.error(code::SCHEDULE, written.span.clone(), message, hint);
    }
}

fn zone(source: &mut Source<'_>, written: &Spanned<String>) -> Option<Tz> {
    let name = written.value.trim();
    let zone = cron::zone(name);
    if zone.is_none() {
        let message =
            shown(name, format!("there is no time zone `{name}`"), "this is no time zone");
        source.error(code::TIMEZONE, written.span.clone(), message, similar(name));
    }
    zone
}

/// Names that somebody may have meant: the nearest spelling, or the zone of that city.
fn similar(name: &str) -> String {
    let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or(zone).to_lowercase();
    let wanted = name.trim().replace(' ', "_").to_lowercase();
    let mut same_city = names().filter(|zone| zone.contains('/') && city(zone) == wanted);
    let same = names().find(|zone| zone.to_lowercase() == wanted);
    let found = same.or_else(|| same_city.next()).or_else(|| {
        let known: Vec<&str> = names().collect();
        suggest::nearest(&wanted, &known)
    });
    match found {
        Some(zone) if !wanted.is_empty() => format!("did you mean `{zone}`?"),
        _ => "write the zone's IANA name, such as `Europe/Berlin`, `America/New_York` or `UTC`"
            .to_owned(),
    }
}

/// A message may quote what is written, unless that looks like a token.
fn shown(written: &str, message: String, instead: &str) -> String {
    if secret::has_token(written) { instead.to_owned() } else { message }
}
