//! Where records end in what was read of a file: only whole ones are taken.

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// At every end of a line.
    Lines,
    /// At an end of a line that is not within quotes.
    Csv,
}

/// The whole records at the beginning of some bytes, each with its line end, at most so many; what
/// lies behind them waits for more.
pub(crate) fn whole(bytes: &[u8], ends: Ends, most: usize) -> Vec<&[u8]> {
    let mut found = vec![];
    let (mut begin, mut quoted) = (0, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            // A quote within quotes is written twice, which changes nothing.
            b'"' if ends == Ends::Csv => quoted = !quoted,
            b'\n' if !quoted => {
                found.extend(bytes.get(begin..=at));
                begin = at + 1;
                if found.len() == most {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// A record without its line end.
pub(crate) fn trimmed(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_records_are_left() {
        let found = |bytes: &'static [u8], ends| whole(bytes, ends, 10);
        assert_eq!(found(b"a\r\nb\n\nc", Ends::Lines), [&b"a\r\n"[..], b"b\n", b"\n"]);
        assert_eq!(found(b"\"a\nb\",c\nd", Ends::Csv), [b"\"a\nb\",c\n"]);
        assert_eq!(found(b"\"a\nb", Ends::Csv), [b""; 0]);
        assert_eq!(found(b"\"a\"\"\n\"\n", Ends::Csv), [b"\"a\"\"\n\"\n"]);
        assert_eq!(whole(b"a\nb\nc\n", Ends::Lines, 2).len(), 2);
        assert_eq!(trimmed(b"a\r\n"), b"a");
        assert_eq!(trimmed(b"a"), b"a");
    }
}
