//! Finds secrets that are written where anybody can read them, and hides them when shown.

use std::ops::Range;

use crate::config;
use crate::finding::{Finding, code};
use crate::source::Source;
use crate::yaml::{Kind, Node};

/// Endings of the keys that name a secret, in lower case, letters only.
const KEYS: &[&str] = &[
    "accesskey",
    "apikey",
    "authorization",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "token",
];

/// How the tokens of well-known systems begin.
const PREFIXES: &[&str] =
    &["eyJ", "ghp_", "gho_", "github_pat_", "glpat-", "sk_live_", "sk-", "xoxb-", "xoxp-", "AKIA"];

const HINT: &str = "put it into the account in `towpath.yaml` as `{ secret: NAME }`, `{ env: NAME }` or \
     `{ file: PATH }`, and change it if the file was shared";

/// Reports every secret written in a flow file.
pub(crate) fn find(source: &mut Source<'_>, node: &Node) {
    match &node.kind {
        Kind::Map(entries) => {
            for entry in entries {
                let literal = matches!(entry.value.kind, Kind::Text(_) | Kind::Number(_));
                if literal && is_key(&entry.key) {
                    let message = format!("`{}` looks like a secret", entry.key);
                    let span = entry.value.span.clone();
                    source.error(code::SECRET_IN_FLOW, span, message, HINT.to_owned());
                } else {
                    find(source, &entry.value);
                }
            }
        }
        Kind::List(items) => items.iter().for_each(|item| find(source, item)),
        Kind::Text(text) if has_token(text) => {
            let message = "this looks like a secret";
            source.error(code::SECRET_IN_FLOW, node.span.clone(), message, HINT.to_owned());
        }
        _ => {}
    }
}

fn is_key(key: &str) -> bool {
    let letters = key.chars().filter(|c| c.is_alphanumeric());
    let key: String = letters.flat_map(char::to_lowercase).collect();
    KEYS.iter().any(|ending| key.ends_with(ending))
}

/// Whether a word of the text looks like a token: `Bearer` and something long, or a long word
/// that begins as tokens do and mixes letters and digits; or like a URL with a password.
pub(crate) fn has_token(text: &str) -> bool {
    let mut urls = text.split("://").skip(1);
    if urls.any(|rest| {
        let host = rest.split(['/', '?', '#', ' ', '"', '\'']).next().unwrap_or("");
        host.split_once('@').is_some_and(|(user, _)| user.contains(':'))
    }) {
        return true;
    }
    let part =
        |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '='));
    let mut after_bearer = false;
    for word in text.split(part).filter(|word| !word.is_empty()) {
        let mixed = word.bytes().any(|byte| byte.is_ascii_digit())
            && word.bytes().any(|byte| byte.is_ascii_alphabetic());
        let begins = PREFIXES.iter().any(|prefix| word.starts_with(prefix));
        if word.len() >= 20 && mixed && (after_bearer || begins) {
            return true;
        }
        after_bearer = word.eq_ignore_ascii_case("bearer");
    }
    false
}

/// The text with every secret in it replaced by asterisks, byte for byte in the same place.
///
/// What the findings point at is hidden, and whatever stands on a line behind a key that names
/// a secret: a file that is not YAML has no findings for its secrets.
pub(crate) fn masked(text: &str, findings: &[Finding]) -> String {
    let codes = [code::SECRET_IN_FLOW, code::SECRET_IN_CONFIG];
    let known = findings.iter().filter(|finding| codes.contains(&finding.code));
    let mut hidden: Vec<Range<usize>> = known.map(|finding| finding.place.span.clone()).collect();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        hidden.extend(values(line).map(|value| begin + value.start..begin + value.end));
        begin += line.len();
    }
    hidden.sort_by_key(|span| span.start);
    let mut result = String::with_capacity(text.len());
    let mut spans = hidden.into_iter().peekable();
    for (at, letter) in text.char_indices() {
        while spans.next_if(|span| span.end <= at).is_some() {}
        let inside = spans.peek().is_some_and(|span| span.start <= at);
        if inside && !letter.is_whitespace() {
            result.extend(std::iter::repeat_n('*', letter.len_utf8()));
        } else {
            result.push(letter);
        }
    }
    result
}

/// What stands behind the keys of a line that name a secret.
fn values(line: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    line.match_indices(':').filter_map(|(colon, _)| {
        let before = line.get(..colon)?;
        let key = before.rsplit(['{', ',', ' ', '-', '\t']).next()?;
        if !is_key(key.trim_matches(['"', '\''])) {
            return None;
        }
        let after = line.get(colon + 1..)?;
        let value = after.trim_start();
        let start = colon + 1 + (after.len() - value.len());
        if value.is_empty() || value.starts_with(['{', '|', '>', '&', '*']) {
            return None;
        }
        let end = if before.contains('{') { value.find([',', '}']) } else { None };
        let end = end.unwrap_or_else(|| value.trim_end().len());
        if names_a_secret(before, value.get(..end)?.trim()) {
            return None;
        }
        Some(start..start + end)
    })
}

/// Whether this is the inside of `{ secret: NAME }`, which tells where a secret is kept.
fn names_a_secret(key: &str, value: &str) -> bool {
    let outer = key.strip_suffix("secret").and_then(|rest| rest.trim_end().strip_suffix('{'));
    let value = value.trim_matches(['"', '\'']);
    outer.is_some_and(|outer| outer.trim_end().ends_with(':'))
        && config::is_secret_name(value)
        && !has_token(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_are_recognised() {
        for key in ["password", "clientSecret", "api-key", "API_KEY", "accessToken", "X-Api-Key"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["secretary", "tokens", "groupName", "key", "identity"] {
            assert!(!is_key(key), "{key}");
        }
        assert!(has_token("Authorization: Bearer not-a-real-token-0123456789"));
        assert!(has_token("eyJub3QiOiJyZWFsIn0.0123456789abcdef.fake"));
        assert!(has_token("https://user:fake@example.test/v1"));
        assert!(!has_token("https://example.test/@name:x"));
        assert!(!has_token("a bearer of news that travel far and wide"));
        assert!(!has_token("{ \"identity\": metadata.recordUid }"));
    }

    #[test]
    fn shown_text_hides_secrets_even_without_findings() {
        let text = "a: [\npassword: hunter2\nx: { apiKey: 'fäke', b: 1 }\nclientSecret: { env: X }\n\
             apiKey: { secret: crm-key }\nsecret: hunter2\nk: { secret: no name! }\n";
        let shown = masked(text, &[]);
        assert_eq!(shown.len(), text.len());
        assert_eq!(
            shown,
            "a: [\npassword: *******\nx: { apiKey: *******, b: 1 }\nclientSecret: { env: X }\n\
             apiKey: { secret: crm-key }\nsecret: *******\nk: { secret: ** ***** }\n"
        );
    }
}
