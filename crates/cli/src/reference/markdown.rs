//! Pieces of Markdown: tables, code, headings one level lower.

/// A table with these columns; empty if there are no rows.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let line = |cells: &[String; N]| {
        let cells = cells.each_ref().map(|cell| cell.replace('\n', " ").replace('|', "\\|"));
        format!("| {} |\n", cells.join(" | ")).replace("|  ", "| ")
    };
    let rows: String = rows.into_iter().map(|row| line(&row)).collect();
    if rows.is_empty() {
        return rows;
    }
    format!("{}|{}\n{rows}", line(&header.map(str::to_owned)), "---|".repeat(N))
}

/// A block of code.
pub(crate) fn code(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```\n", text.trim_end())
}

/// `text` in back-ticks; nothing if it is empty.
pub(crate) fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// The text with its headings `levels` lower.
pub(crate) fn lowered(text: &str, levels: usize) -> String {
    let mut fenced = false;
    let lines = text.lines().map(|line| {
        fenced ^= line.starts_with("```");
        let heading = line.starts_with('#') && !fenced;
        if heading { format!("{}{line}", "#".repeat(levels)) } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The parts that are not empty, a blank line between them.
pub(crate) fn page(parts: impl IntoIterator<Item = String>) -> String {
    let parts = parts.into_iter().map(|part| part.trim().to_owned());
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    format!("{}\n", parts.join("\n\n"))
}

/// The part of a link that leads to this heading, as forges make it.
pub(crate) fn anchor(heading: &str) -> String {
    let letters = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    letters.flat_map(char::to_lowercase).collect()
}

/// A whole number with commas between the thousands.
pub(crate) fn number(number: usize) -> String {
    indicatif::HumanCount(number as u64).to_string()
}

/// Words with commas and an "and".
pub(crate) fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
