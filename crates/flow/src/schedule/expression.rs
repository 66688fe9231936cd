//! Reads cron expressions: five fields, each with lists, ranges, steps and names.

use std::ops::Range;

use super::calendar::{Calendar, Days, Weekdays};

/// What is wrong with an expression, and which bytes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) hint: String,
    /// Whether it is well-formed, but names no day that there is.
    pub(super) never: bool,
}

/// Names that stand for a whole expression.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A field of an expression: its numbers, what they are called, and how it is written.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// From `least` on.
    names: &'static [&'static str],
    hint: &'static str,
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        least: 0,
        most: 59,
        names: &[],
        hint: "minutes are 0 to 59: `30`, `0,30`, `0-29`, `*/5`",
    },
    Field {
        name: "hour",
        least: 0,
        most: 23,
        names: &[],
        hint: "hours are 0 to 23: `6`, `6,18`, `8-17`, `*/2`",
    },
    Field {
        name: "day of a month",
        least: 1,
        most: 31,
        names: &[],
        hint: "days are 1 to 31, `L` (the last), `15W` (the working day nearest to the 15th) or \
               `LW` (the last working day)",
    },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
        hint: "months are 1 to 12 or JAN to DEC",
    },
    Field {
        name: "weekday",
        least: 0,
        most: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        hint: "weekdays are 0 to 7 (0 and 7 are Sunday) or SUN to SAT, `MON#1` (the first Monday \
               of a month) or `5L` (its last Friday)",
    },
];

const SHAPE: &str = "the fields are minute, hour, day, month, weekday: `30 6 * * 1-5` is 6:30 from \
                     Monday to Friday; seconds are for `every: 30s`";

/// Reads an expression.
pub(super) fn read(text: &str) -> Result<Calendar, Problem> {
    let whole = trimmed(text);
    let problem =
        |span, message: String, hint: String| Err(Problem { span, message, hint, never: false });
    let written = text.get(whole.clone()).unwrap_or("");
    if written.starts_with('@') {
        let lower = written.to_lowercase();
        return match NICKNAMES.iter().find(|(name, _)| *name == lower) {
            Some((_, meant)) => read(meant),
            None => {
                let names: Vec<_> = NICKNAMES.iter().map(|(name, _)| format!("`{name}`")).collect();
                let message = format!("`{written}` is no schedule");
                problem(whole, message, format!("known: {}", names.join(", ")))
            }
        };
    }
    let fields = words(text);
    let [minute, hour, day, month, weekday] = fields.as_slice() else {
        let count = match fields.len() {
            0 => "this one is empty".to_owned(),
            1 => "this one has one".to_owned(),
            count => format!("this one has {count}"),
        };
        let message = format!("a cron expression has five fields, {count}");
        // Too many: those after the fifth are too much.
        let span = fields.get(5).map_or(whole.start, |sixth| sixth.start)..whole.end;
        return problem(span, message, SHAPE.to_owned());
    };
    let star =
        |span: &Range<usize>| text.get(span.clone()).is_some_and(|it| it.starts_with(['*', '?']));
    let mut calendar = Calendar {
        interval: star(minute) || star(hour),
        both: star(day) || star(weekday),
        ..Calendar::default()
    };
    let [minutes, hours, days, months, weekdays] = &FIELDS;
    for part in parts(text, minute) {
        calendar.minutes |= numbers(text, &part, minutes)?;
    }
    for part in parts(text, hour) {
        calendar.hours |= narrow::<u32>(numbers(text, &part, hours)?);
    }
    for part in parts(text, day) {
        calendar.days.read(text, &part, days)?;
    }
    for part in parts(text, month) {
        calendar.months |= narrow::<u16>(numbers(text, &part, months)?);
    }
    for part in parts(text, weekday) {
        calendar.weekdays.read(text, &part, weekdays)?;
    }
    if calendar.fires() {
        return Ok(calendar);
    }
    let message = "this expression never fires: no month that it names has such a day";
    let hint = "the longest months have 31 days, February 28 or 29; `L` is the last day of any";
    Err(Problem {
        span: day.start..weekday.end,
        message: message.to_owned(),
        hint: hint.to_owned(),
        never: true,
    })
}

impl Days {
    fn read(&mut self, text: &str, part: &Range<usize>, field: &Field) -> Result<(), Problem> {
        let written = text.get(part.clone()).unwrap_or("");
        let upper = written.to_uppercase();
        match upper.strip_suffix('W') {
            _ if upper == "?" => self.numbers |= narrow::<u32>(all(field)),
            _ if upper == "L" => self.last = true,
            Some("L") => self.last_working = true,
            Some(day) => {
                let day = number(day, field).ok_or_else(|| bad(part, written, field))?;
                self.nearest |= 1 << day;
            }
            None => self.numbers |= narrow::<u32>(numbers(text, part, field)?),
        }
        Ok(())
    }
}

impl Weekdays {
    fn read(&mut self, text: &str, part: &Range<usize>, field: &Field) -> Result<(), Problem> {
        let written = text.get(part.clone()).unwrap_or("");
        let upper = written.to_uppercase();
        let one = |day: &str| {
            let day = number(day, field).ok_or_else(|| bad(part, written, field))?;
            Ok(1 << (day % 7))
        };
        if upper == "?" {
            self.every |= 0x7f;
        } else if let Some(day) = upper.strip_suffix('L') {
            self.last |= one(day)?;
        } else if let Some((day, nth)) = upper.split_once('#') {
            let nth = nth.parse::<usize>().ok().and_then(|nth| nth.checked_sub(1));
            let nth = nth.and_then(|nth| self.nth.get_mut(nth));
            *nth.ok_or_else(|| bad(part, written, field))? |= one(day)?;
        } else {
            let numbers = numbers(text, part, field)?;
            // Sunday is 0 and 7.
            self.every |= narrow::<u8>((numbers | numbers >> 7) & 0x7f);
        }
        Ok(())
    }
}

/// The numbers of one item of a list: `5`, `1-5`, `*`, `*/5`, `10-50/20`.
fn numbers(text: &str, part: &Range<usize>, field: &Field) -> Result<u64, Problem> {
    let written = text.get(part.clone()).unwrap_or("");
    let Field { name, least, most, .. } = field;
    let problem = |message: String, hint: String| {
        Err(Problem { span: part.clone(), message, hint, never: false })
    };
    let (range, step) = match written.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (written, None),
    };
    let (first, last) = if range == "*" {
        (*least, *most)
    } else if let Some((first, last)) = range.split_once('-') {
        let bounds = number(first, field).zip(number(last, field));
        let (first, last) = bounds.ok_or_else(|| bad(part, written, field))?;
        // In `SAT-SUN` Sunday is the end of the week, not its beginning.
        let sunday = *most == 7 && last == 0 && first > 0 && !range.ends_with('0');
        (first, if sunday { 7 } else { last })
    } else {
        let first = number(range, field).ok_or_else(|| bad(part, written, field))?;
        if let Some(step) = step {
            let message = format!("`{written}` has a step, but no range");
            return problem(message, format!("write `{first}-{most}/{step}`"));
        }
        (first, first)
    };
    if first > last {
        let message = format!("`{range}` ends before it begins");
        return problem(message, format!("write two ranges: `{first}-{most},{least}-{last}`"));
    }
    let step = match step.map(|step| (step, whole_number(step))) {
        None => 1,
        Some((_, Some(step))) if (1..=*most).contains(&step) => step,
        Some((step, _)) => {
            let message = format!("`{step}` is no step: a {name} has steps from 1 to {most}");
            let hint = match *name {
                "minute" => "longer steps are for the hour, or for an interval: `every: 90m`",
                _ => field.hint,
            };
            return problem(message, hint.to_owned());
        }
    };
    let mut numbers = 0;
    let mut next = first;
    while next <= last {
        numbers |= 1 << next;
        next += step;
    }
    Ok(numbers)
}

fn all(field: &Field) -> u64 {
    (field.least..=field.most).fold(0, |set, number| set | 1 << number)
}

/// A number of a field, or a name that stands for one.
fn number(written: &str, field: &Field) -> Option<u32> {
    let named = field.names.iter().position(|name| name.eq_ignore_ascii_case(written));
    let number = match named {
        Some(index) => u32::try_from(index).ok()?.checked_add(field.least)?,
        None => whole_number(written)?,
    };
    (field.least..=field.most).contains(&number).then_some(number)
}

/// Digits and nothing else: Rust's own reading takes a sign, too.
fn whole_number(written: &str) -> Option<u32> {
    let digits = written.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| written.parse().ok()).flatten()
}

fn bad(part: &Range<usize>, written: &str, field: &Field) -> Problem {
    let message = match written {
        "" => format!("a {} is missing in the list", field.name),
        written => format!("`{written}` is no {}", field.name),
    };
    Problem { span: part.clone(), message, hint: field.hint.to_owned(), never: false }
}

/// A set that is known to fit: its field has no larger numbers.
fn narrow<T: TryFrom<u64> + Default>(set: u64) -> T {
    T::try_from(set).unwrap_or_default()
}

fn trimmed(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..start.max(text.trim_end().len())
}

/// The words of a text.
fn words(text: &str) -> Vec<Range<usize>> {
    spans(text, 0, char::is_whitespace).into_iter().filter(|word| !word.is_empty()).collect()
}

/// The items of a list; one that is empty is an item, too.
fn parts(text: &str, field: &Range<usize>) -> Vec<Range<usize>> {
    spans(text.get(field.clone()).unwrap_or(""), field.start, |c| c == ',')
}

fn spans(text: &str, offset: usize, separates: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut spans = vec![];
    let mut start = 0;
    for (at, separator) in text.match_indices(separates) {
        spans.push(offset + start..offset + at);
        start = at + separator.len();
    }
    spans.push(offset + start..offset + text.len());
    spans
}
