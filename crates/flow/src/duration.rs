//! Durations as flow files write them: `30s`, `5m`, `1h`, `1d`.

use std::time::Duration;

/// What a duration looks like, for the schemas.
pub const PATTERN: &str = "^[0-9]+ *[smhd]$";

/// No duration of a flow file is longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Reads a whole number and its unit; the error says what is wrong.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let Some(unit) = text.chars().last() else {
        return Err("a duration is a whole number and a unit".to_owned());
    };
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(format!("`{text}` has no unit"));
        }
        _ => return Err(format!("`{text}` is not a whole number and a unit")),
    };
    let digits = text.strip_suffix(unit).unwrap_or("").trim_end();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is not a whole number and a unit"));
    }
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    let duration = number.map(Duration::from_secs).filter(|duration| *duration <= LONGEST);
    duration.ok_or_else(|| format!("`{text}` is longer than a year"))
}

/// What a duration in words (`5 minutes`) is as a duration.
pub fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0)?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit.trim().to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => 's',
        "min" | "mins" | "minute" | "minutes" => 'm',
        "hr" | "hrs" | "hour" | "hours" => 'h',
        "day" | "days" => 'd',
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}

/// Writes a duration in the largest unit that it is a whole number of.
pub(crate) fn written(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(24 * 60 * 60, 'd'), (60 * 60, 'h'), (60, 'm')];
    let unit = units.iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    let (length, unit) = unit.unwrap_or(&(1, 's'));
    format!("{}{unit}", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_reads() {
        for text in ["30s", "5m", "1h", "1d", "90s", "0s", "25h"] {
            assert_eq!(parse(text).map(written).as_deref(), Ok(text));
        }
        assert_eq!(parse("60m").map(written).as_deref(), Ok("1h"));
    }

    #[test]
    fn reads_number_and_unit() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h", 3600), ("1d", 86_400), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "5", "m", "5 min", "-5m", "1.5h", "5ms", "1h30m", "99999999999999999999d"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
