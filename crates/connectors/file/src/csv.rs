//! CSV (RFC 4180): one record as a list of texts, and back.

use connector::prelude::*;

/// The fields of one record, without its line end.
pub(crate) fn read(record: &str, separator: char) -> Result<Vec<String>, String> {
    let mut fields = vec![];
    let mut rest = record;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            None => match rest.split_once(separator) {
                Some((field, behind)) => (field.to_owned(), Some(behind)),
                None => (rest.to_owned(), None),
            },
            Some(mut quoted) => {
                let mut field = String::new();
                loop {
                    let Some((before, behind)) = quoted.split_once('"') else {
                        return Err("a quote is not closed".to_owned());
                    };
                    field.push_str(before);
                    match behind.strip_prefix('"') {
                        Some(behind) => {
                            field.push('"');
                            quoted = behind;
                        }
                        None => {
                            quoted = behind;
                            break;
                        }
                    }
                }
                match quoted.strip_prefix(separator) {
                    Some(behind) => (field, Some(behind)),
                    None if quoted.is_empty() => (field, None),
                    None => return Err("something stands behind a closing quote".to_owned()),
                }
            }
        };
        fields.push(field);
        match behind {
            Some(behind) => rest = behind,
            None => return Ok(fields),
        }
    }
}

/// A record with its line end.
pub(crate) fn write<'a>(fields: impl IntoIterator<Item = &'a str>, separator: char) -> String {
    let mut record = String::new();
    for (at, field) in fields.into_iter().enumerate() {
        if at > 0 {
            record.push(separator);
        }
        let plain = !field.contains(['"', '\n', '\r', separator]) && field.trim() == field;
        if plain {
            record.push_str(field);
        } else {
            record.push('"');
            record.push_str(&field.replace('"', "\"\""));
            record.push('"');
        }
    }
    record.push('\n');
    record
}

/// A value as the text of a field.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let fields = ["a", "", "b,c", "say \"x\"", "two\nlines", " space ", "ä"];
        for separator in [',', ';', '\t'] {
            let record = write(fields, separator);
            let record = record.strip_suffix('\n').unwrap();
            assert_eq!(read(record, separator).unwrap(), fields);
        }
        assert_eq!(read("", ',').unwrap(), [""]);
        assert_eq!(read("a,", ',').unwrap(), ["a", ""]);
        assert!(read("\"a", ',').is_err() && read("\"a\"b", ',').is_err());
    }
}
