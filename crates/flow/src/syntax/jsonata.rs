//! What is wrong with a JSONata expression: first causes, and ways out.

use mapping::Error;

/// So near behind a mistake, another "syntax error" is its consequence.
const NEAR: usize = 2;

/// The mistakes without those that only follow from one before: the end of the expression is not
/// where it was expected, or what stands right behind a mistake is not understood.
pub(crate) fn first_causes(problems: &[Error]) -> impl Iterator<Item = &Error> {
    let follows = |index: usize, problem: &Error| {
        let before = problems.get(..index).unwrap_or_default();
        let end = |error: &Error| error.position.unwrap_or(0) + error.length;
        let start = problem.position.unwrap_or(0);
        match problem.code.as_str() {
            "S0203" => !before.is_empty(),
            "S0201" | "S0202" => {
                before.iter().any(|error| start.saturating_sub(end(error)) <= NEAR)
            }
            _ => false,
        }
    };
    let numbered = problems.iter().enumerate();
    numbered.filter(move |(index, problem)| !follows(*index, problem)).map(|(_, problem)| problem)
}

/// The way out of a mistake, where its place tells.
pub(crate) fn hint(source: &str, problem: &Error) -> Option<&'static str> {
    let at = problem.position?;
    let (before, here) = (source.get(..at)?, source.get(at..)?);
    let between = |operator: &str| {
        let (left, right) = operator.split_at(1);
        here.starts_with(operator) || before.ends_with(left) && here.starts_with(right)
    };
    let told = [
        ("==", "JSONata compares by one `=`"),
        ("&&", "write `and`: `&` joins texts"),
        ("||", "write `or`"),
    ];
    if let Some((_, hint)) = told.iter().find(|(operator, _)| between(operator)) {
        return Some(hint);
    }
    if here.starts_with('!') && !here.starts_with("!=") {
        return Some("write `$not(…)`");
    }
    let starts_value =
        |c: char| c.is_alphanumeric() || matches!(c, '"' | '\'' | '$' | '{' | '[' | '`');
    match problem.code.as_str() {
        "S0202" if here.starts_with(starts_value) => Some("is there a comma missing before this?"),
        "S0211" if here.starts_with([')', ']', '}']) => Some("a value is missing before this"),
        "S0203" => Some("close what was opened, in the order of its opening"),
        "S0101" => Some("put a quotation mark at the end of the text"),
        "S0302" => Some("put a `/` at the end of the regular expression"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mapping::Mapping;

    use super::*;

    #[test]
    fn common_mistakes_have_a_way_out() {
        for (source, expected) in [
            ("a == 1", &["JSONata compares by one `=`"][..]),
            ("a && b", &["write `and`: `&` joins texts"]),
            ("a || b", &["write `or`"]),
            ("!a", &["write `$not(…)`"]),
            ("{ \"a\": 1 \"b\": 2 }", &["is there a comma missing before this?"]),
            ("{ \"a\": b & }", &["a value is missing before this"]),
            ("$sum(a", &["close what was opened, in the order of its opening"]),
            ("a = \"b", &["put a quotation mark at the end of the text"]),
        ] {
            let problems = Mapping::problems(source);
            let hints: Vec<_> =
                first_causes(&problems).map(|it| hint(source, it).unwrap_or(&it.message)).collect();
            assert_eq!(hints, expected, "{source}: {problems:#?}");
        }
    }
}
