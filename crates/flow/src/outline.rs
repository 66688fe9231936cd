//! Which field of its result a place in a JSONata expression makes.

use std::ops::Range;

/// The field that the byte `at` of an expression is part of the value of, such as
/// `profileData.Phone`; `None` if it is in no object constructor.
pub(crate) fn field_at(source: &str, at: usize) -> Option<String> {
    // The open brackets, and for an object's the key whose value is being read.
    let mut open: Vec<(char, Option<&str>)> = vec![];
    let mut last_string = None;
    let mut letters = source.char_indices().peekable();
    while let Some((start, letter)) = letters.next() {
        if start >= at {
            break;
        }
        match letter {
            '"' | '\'' => {
                while let Some((end, inner)) = letters.next() {
                    if inner == '\\' {
                        letters.next();
                    } else if inner == letter {
                        last_string = source.get(start + 1..end);
                        break;
                    }
                }
                continue;
            }
            '/' if letters.peek().is_some_and(|(_, next)| *next == '*') => {
                let mut before = ' ';
                for (_, inner) in letters.by_ref() {
                    if before == '*' && inner == '/' {
                        break;
                    }
                    before = inner;
                }
                continue;
            }
            '{' | '[' | '(' => open.push((letter, None)),
            '}' | ']' | ')' => drop(open.pop()),
            ':' => {
                // A key that is there already is before a condition's colon.
                if let (Some(('{', key @ None)), Some(string)) = (open.last_mut(), last_string) {
                    *key = Some(string);
                }
            }
            ',' | ';' => {
                if let Some((_, key)) = open.last_mut() {
                    *key = None;
                }
            }
            space if space.is_whitespace() => continue,
            _ => {}
        }
        last_string = None;
    }
    let keys: Vec<&str> = open.into_iter().filter_map(|(_, key)| key).collect();
    (!keys.is_empty()).then(|| keys.join("."))
}

/// Where an expression first writes a key of an object called so.
pub(crate) fn find_key(source: &str, name: &str) -> Option<Range<usize>> {
    let mut places = ['"', '\''].into_iter().flat_map(|quote| {
        let key = format!("{quote}{name}{quote}");
        let places = source.match_indices(&key).map(|(at, key)| at..at + key.len());
        places.collect::<Vec<_>>()
    });
    places.find(|place| {
        source.get(place.end..).is_some_and(|rest| rest.trim_start().starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_to_a_place_is_told() {
        let text = r#"(
  /* "not": this */
  $a := data.x ? "a:b" : FIRST;
  { "identity": metadata.id, "profile": $merge([{ "Na\"me": $trim(SECOND), "b": [1] }, {}]),
    "mail": $mail ? "to" : FOURTH,
    'last': THIRD }
)"#;
        let at = |word: &str| field_at(text, text.find(word).unwrap());
        assert_eq!(at("FIRST"), None);
        assert_eq!(at("metadata"), Some("identity".to_owned()));
        assert_eq!(at("SECOND"), Some(r#"profile.Na\"me"#.to_owned()));
        assert_eq!(at("FOURTH"), Some("mail".to_owned()));
        assert_eq!(at("THIRD"), Some("last".to_owned()));
        assert_eq!(find_key(r#"x = "b" ? { 'b' : 1 }"#, "b"), Some(12..15));
        assert_eq!(field_at("data.x", 3), None);
        assert_eq!(field_at("{ \"a\": 1 }", 999), None);
    }
}
