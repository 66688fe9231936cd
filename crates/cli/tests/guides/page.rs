//! What a guide tells its reader to do, read from its Markdown.

/// One thing to do, in the order of the page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A block with a language and a path: the reader writes this file.
    File {
        /// The path, as the guide names it.
        path: String,
        /// The whole file.
        text: String,
    },
    /// A `console` block: the reader types these, one after the other.
    Commands {
        /// What is typed and what is shown.
        commands: Vec<Typed>,
        /// How the block ends (`console background`, `console fails`).
        ending: Ending,
    },
}

/// How the commands of a block end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With success.
    Well,
    /// Not at all while the guide is followed: they run in a second terminal.
    Background,
    /// With an exit code that is not 0: the guide shows a mistake.
    Badly,
}

/// A command and what the guide shows of its output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// The line of the page.
    pub(crate) line: usize,
    /// What is typed behind the prompt.
    pub(crate) text: String,
    /// What is shown.
    pub(crate) shown: Vec<String>,
}

/// Reads a page. What it cannot follow is an error that names the line.
pub(crate) fn read(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = vec![];
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    while let Some((begin, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let fence = "`".repeat(3 + info.len() - info.trim_start_matches('`').len());
        let info = info.trim_start_matches('`');
        let mut block = vec![];
        loop {
            match lines.next() {
                Some((_, line)) if line == fence => break,
                Some(line) => block.push(line),
                None => return Err(format!("line {begin}: the block does not end")),
            }
        }
        let (language, about) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
        match (language, about) {
            ("console", about) => parts.push(commands(begin, about, &block)?),
            (_, "") => {}
            (_, path) => {
                let text = block.iter().map(|(_, line)| format!("{line}\n")).collect();
                parts.push(Part::File { path: path.to_owned(), text });
            }
        }
    }
    Ok(parts)
}

fn commands(begin: usize, about: &str, block: &[(usize, &str)]) -> Result<Part, String> {
    let ending = match about {
        "" => Ending::Well,
        "background" => Ending::Background,
        "fails" => Ending::Badly,
        other => return Err(format!("line {begin}: no console is `{other}`")),
    };
    let mut commands: Vec<Typed> = vec![];
    for (line, text) in block {
        let last = commands.last_mut();
        match (text.strip_prefix("$ "), last) {
            (Some(typed), _) => {
                commands.push(Typed { line: *line, text: typed.to_owned(), shown: vec![] });
            }
            (None, Some(last)) if last.text.ends_with('\\') && last.shown.is_empty() => {
                last.text.push('\n');
                last.text.push_str(text);
            }
            (None, Some(last)) => last.shown.push((*text).to_owned()),
            (None, None) => return Err(format!("line {line}: output before any command")),
        }
    }
    Ok(Part::Commands { commands, ending })
}

#[test]
fn files_commands_and_outputs_are_told_apart() {
    let page = "Text\n```yaml a/b.yaml\nx: 1\n```\n```yaml\nonly shown\n```\n\
                ````text\n```\n````\n```console fails\n$ one \\\n  two\nout\n…\n$ three\n```\n";
    let typed = |line, text: &str, shown: &[&str]| Typed {
        line,
        text: text.to_owned(),
        shown: shown.iter().map(|&line| line.to_owned()).collect(),
    };
    let expected = [
        Part::File { path: "a/b.yaml".to_owned(), text: "x: 1\n".to_owned() },
        Part::Commands {
            commands: vec![typed(12, "one \\\n  two", &["out", "…"]), typed(16, "three", &[])],
            ending: Ending::Badly,
        },
    ];
    assert_eq!(read(page).unwrap(), expected);
    assert_eq!(read("```console\nout\n```").unwrap_err(), "line 2: output before any command");
    assert_eq!(read("a\n```yaml\n").unwrap_err(), "line 2: the block does not end");
}
