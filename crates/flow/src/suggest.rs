//! "Did you mean": the known name that is nearest to the one written.

/// A hint that names the nearest of `known`, or all of them if none is near.
pub fn hint<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(written, &known) {
        return Some(format!("did you mean `{near}`?"));
    }
    if let Some(meant) = meant(written, &known) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let names: Vec<String> = known.iter().take(12).map(|name| format!("`{name}`")).collect();
    let more = if known.len() > names.len() { ", …" } else { "" };
    (!names.is_empty()).then(|| format!("known: {}{more}", names.join(", ")))
}

/// What other tools call what is called otherwise here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("action", "use"),
    ("backoff", "base"),
    ("condition", "when"),
    ("delay", "base"),
    ("dependsOn", "after"),
    ("depends_on", "after"),
    ("description", "about"),
    ("filter", "when"),
    ("first", "base"),
    ("if", "when"),
    ("interval", "every"),
    ("longest", "cap"),
    ("mapping", "customMapping"),
    ("maxAttempts", "attempts"),
    ("maxDelay", "cap"),
    ("maxTime", "time"),
    ("name", "flow"),
    ("name", "id"),
    ("needs", "after"),
    ("onError", "onReject"),
    ("retries", "attempts"),
    ("schedule", "cron"),
    ("timeZone", "timezone"),
    ("timeout", "time"),
    ("transform", "customMapping"),
    ("tz", "timezone"),
    ("type", "use"),
    // Functions.
    ("concat", "join"),
    ("date", "fromMillis"),
    ("formatDate", "fromMillis"),
    ("includes", "contains"),
    ("indexOf", "contains"),
    ("isEmpty", "exists"),
    ("len", "length"),
    ("parseDate", "toMillis"),
    ("parseInt", "number"),
    ("size", "count"),
    ("startsWith", "contains"),
    ("substr", "substring"),
    ("toNumber", "number"),
    ("toString", "string"),
];

/// The name here of what has this name elsewhere.
pub(crate) fn meant<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let names = ELSEWHERE.iter().filter(|(elsewhere, _)| *elsewhere == written);
    names.into_iter().find_map(|(_, here)| known.iter().find(|known| *known == here).copied())
}

/// The nearest of `known`, if it is near.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    // Names are short; a long text is no misspelled name, and comparing it would cost.
    let length = written.chars().count();
    if length == 0 || length > 80 {
        return None;
    }
    let lower = written.to_lowercase();
    let near = known.iter().map(|name| (distance(&lower, &name.to_lowercase()), *name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (length.max(3) / 3).max(1)).then_some(name)
}

/// The nearest id to a text: `upload-profiles` becomes `uploadProfiles`.
pub(crate) fn camel_case(text: &str) -> String {
    let mut id = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let mut letters = word.chars();
        let first = letters.next().into_iter();
        if id.is_empty() {
            id.extend(first.map(|c| c.to_ascii_lowercase()));
        } else {
            id.extend(first.map(|c| c.to_ascii_uppercase()));
        }
        id.extend(letters);
    }
    let digits = id.chars().take_while(char::is_ascii_digit).count();
    id.split_off(digits)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let (mut two_back, mut above): (Vec<usize>, Vec<usize>) = (vec![], (0..=right.len()).collect());
    let mut previous = None;
    for (row, l) in left.chars().enumerate() {
        let mut line = vec![row + 1];
        let mut left_cost = row + 1;
        let mut last = None;
        for (column, r) in right.iter().copied().enumerate() {
            let at =
                |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX);
            let replaced = at(&above, column).saturating_add(usize::from(l != r));
            let put_in = at(&above, column + 1).saturating_add(1);
            let mut cost = replaced.min(put_in).min(left_cost + 1);
            if previous == Some(r) && last == Some(l) && column > 0 {
                cost = cost.min(at(&two_back, column - 1).saturating_add(1));
            }
            line.push(cost);
            left_cost = cost;
            last = Some(r);
        }
        two_back = std::mem::replace(&mut above, line);
        previous = Some(l);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant() {
        let known = ["groupName", "groupId", "type"];
        assert_eq!(hint("groupname", known).as_deref(), Some("did you mean `groupName`?"));
        assert_eq!(hint("gruopId", known).as_deref(), Some("did you mean `groupId`?"));
        assert_eq!(hint("x", known).as_deref(), Some("known: `groupName`, `groupId`, `type`"));
        assert_eq!(hint("x", []), None);
        assert_eq!(
            (distance("abcd", "abdc"), distance("", "ab"), distance("kitten", "sitting")),
            (1, 2, 3)
        );
    }
}
