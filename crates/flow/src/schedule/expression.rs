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

/// What a field is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

impl Name {
    const fn text(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of a month",
            Self::Month => "month",
            Self::Weekday => "weekday",
        }
    }
}

/// A field of an expression: its numbers, what they are called, and how it is written.
struct Field {
    name: Name,
    least: u32,
    most: u32,
    /// From `least` on.
    names: &'static [&'static str],
    hint: &'static str,
}

const FIELDS: [Field; 5] = [
    Field {
        name: Name::Minute,
        least: 0,
        most: 59,
        names: &[],
        hint: "minutes are 0 to 59: `30`, `0,30`, `0-29`, `*/5`",
    },
    Field {
        name: Name::Hour,
        least: 0,
        most: 23,
        names: &[],
        hint: "hours are 0 to 23: `6`, `6,18`, `8-17`, `*/2`",
    },
    Field {
        name: Name::Day,
        least: 1,
        most: 31,
        names: &[],
        hint: "days are 1 to 31, `L` (the last), `15W` (the working day nearest to the 15th) or \
               `LW` (the last working day)",
    },
    Field {
        name: Name::Month,
        least: 1,
        most: 12,
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
        hint: "months are 1 to 12 or JAN to DEC",
    },
    Field {
        name: Name::Weekday,
        least: 0,
        most: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        hint: "weekdays are 0 to 7 (0 and 7 are Sunday) or SUN to SAT, `MON#1` (the first Monday \
               of a month) or `5L` (its last Friday)",
    },
];

const SHAPE: &str = "the fields are minute, hour, day, month, weekday: `30 6 * * 1-5` is 6:30 from \
                     Monday to Friday; seconds are for `every: 30s`";

/// Reads an expression, or finds everything that is wrong with it.
pub(super) fn read(text: &str) -> Result<Calendar, Vec<Problem>> {
    let whole = trimmed(text);
    let problem = |span, message: String, hint: String| {
        Err(vec![Problem { span, message, hint, never: false }])
    };
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
    let words = words(text);
    let [minute, hour, day, _, weekday] = words.as_slice() else {
        let message = match words.len() {
            0 => "a cron expression has five fields, this one is empty".to_owned(),
            count => format!("a cron expression has five fields, this one has {count}"),
        };
        // Those after the fifth are too many.
        let span = words.get(5).map_or(whole.start, |sixth| sixth.start)..whole.end;
        return problem(span, message, SHAPE.to_owned());
    };
    let begins_with_star =
        |word: &Range<usize>| text.get(word.clone()).is_some_and(|it| it.starts_with(['*', '?']));
    let mut calendar = Calendar {
        interval: begins_with_star(minute) || begins_with_star(hour),
        both: begins_with_star(day) || begins_with_star(weekday),
        ..Calendar::default()
    };
    let mut problems = vec![];
    for (word, field) in words.iter().zip(&FIELDS) {
        let read = parts(text, word).into_iter().map(|part| calendar.read(text, &part, field));
        problems.extend(read.filter_map(Result::err));
    }
    if problems.is_empty() && !calendar.fires() {
        let message = "this expression never fires: no month that it names has such a day";
        let hint = "the longest months have 31 days, February 28 or 29; `L` is the last day of any";
        problems.push(Problem {
            span: day.start..weekday.end,
            message: message.to_owned(),
            hint: hint.to_owned(),
            never: true,
        });
    }
    if problems.is_empty() { Ok(calendar) } else { Err(problems) }
}

impl Calendar {
    /// Adds what one item of a field's list names.
    fn read(&mut self, text: &str, part: &Range<usize>, field: &Field) -> Result<(), Problem> {
        let set = || numbers(text, part, field);
        match field.name {
            Name::Minute => self.minutes |= set()?,
            Name::Hour => self.hours |= narrow::<u32>(set()?),
            Name::Day => self.days.read(text, part, field)?,
            Name::Month => self.months |= narrow::<u16>(set()?),
            Name::Weekday => self.weekdays.read(text, part, field)?,
        }
        Ok(())
    }
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
        let sunday = *name == Name::Weekday && last == 0 && first > 0 && !range.ends_with('0');
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
            let message = format!("`{step}` is no step: steps are 1 to {most} here");
            let hint = match *name {
                Name::Minute => "longer steps are for the hour, or for an interval: `every: 90m`",
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
        "" => "an item of the list is empty".to_owned(),
        written => format!("`{written}` is no {}", field.name.text()),
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
