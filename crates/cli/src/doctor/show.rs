//! What was found, as a person reads it: grouped, aligned, with the way out below each line.

use crate::commands::check::counted;
use crate::doctor::sheet::Line;
use crate::doctor::{Sheet, Verdict};
use crate::reference::wrap;

/// Of lines that say the same of many flows so many are shown; `--json` has all.
const ALIKE: usize = 10;
/// A name takes no more of a line than this.
const LONGEST_NAME: usize = 24;

/// How wide the terminal is, and whether it shows colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub(crate) width: usize,
    pub(crate) colour: bool,
}

impl Words {
    /// The whole sheet.
    pub(crate) fn of(self, sheet: &Sheet) -> String {
        let mut text = String::new();
        let names = sheet.lines().iter().map(|line| line.about.chars().count());
        let column = names.max().unwrap_or(0).min(LONGEST_NAME);
        let mut group = "";
        let mut alike = (("", Verdict::Ok), 0);
        for line in sheet.lines() {
            if line.group != group {
                self.left_out(&mut text, &mut alike);
                let between = if group.is_empty() { "" } else { "\n" };
                group = line.group;
                text.push_str(&format!("{between}{group}\n"));
            }
            let kind = (line.check, line.verdict);
            if alike.0 != kind {
                self.left_out(&mut text, &mut alike);
                alike = (kind, 0);
            }
            alike.1 += 1;
            if alike.1 <= ALIKE {
                self.line(&mut text, line, column);
            }
        }
        self.left_out(&mut text, &mut alike);
        text.push_str(&format!("\n{}", summary(sheet)));
        text
    }

    fn line(self, text: &mut String, line: &Line, column: usize) {
        let Line { about, verdict, says, way_out, .. } = line;
        // Verdict and name, each with what is between it and the next column.
        let left = 2 + 9 + column + 2;
        let width = self.width.saturating_sub(left).max(30);
        let mut rows = wrap(says, width).into_iter();
        // A longer name has the line for itself.
        let first = if about.chars().count() > column { None } else { rows.next() };
        let word = format!("{:<9}", verdict.word());
        let first = format!(
            "  {}{about:<column$}  {}",
            self.painted(*verdict, &word),
            first.unwrap_or_default()
        );
        text.push_str(first.trim_end());
        text.push('\n');
        let out = way_out.iter().flat_map(|out| wrap(out, width - 2));
        let out = out.enumerate().map(|(at, row)| match at {
            0 => format!("→ {row}"),
            _ => format!("  {row}"),
        });
        for row in rows.chain(out) {
            text.push_str(&format!("{:left$}{row}\n", ""));
        }
    }

    /// Says how many lines of the kind before were not shown.
    fn left_out(self, text: &mut String, alike: &mut ((&'static str, Verdict), usize)) {
        let more = alike.1.saturating_sub(ALIKE);
        if more > 0 {
            let word = format!("{:<9}", alike.0.1.word());
            let word = self.painted(alike.0.1, &word);
            text.push_str(&format!("  {word}and {more} more like these: `--json` shows all\n"));
        }
        alike.1 = 0;
    }

    fn painted(self, verdict: Verdict, word: &str) -> String {
        let colour = match verdict {
            Verdict::Ok => 32,
            Verdict::Warning => 33,
            Verdict::Error => 31,
        };
        if self.colour { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word.to_owned() }
    }
}

fn summary(sheet: &Sheet) -> String {
    let (errors, warnings) = (sheet.count(Verdict::Error), sheet.count(Verdict::Warning));
    if errors + warnings == 0 {
        return "all is well".to_owned();
    }
    format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_aligned_wrapped_and_not_endless() {
        let mut sheet = Sheet::default();
        sheet.group("files");
        sheet.ok("config", "towpath.yaml", "2 accounts");
        sheet.warning(
            "flowFiles",
            "flows",
            "3 flow files, 1 warning, and so much more that no line of a terminal holds it",
            "towpath check",
        );
        sheet.group("flows");
        for number in 0..12 {
            sheet.error("failing", format!("f{number:02}"), "fails", "towpath state show");
        }
        let text = Words { width: 60, colour: false }.of(&sheet);
        let failing = (0..10).map(|number| {
            let left = " ".repeat(25);
            format!("  error    f{number:02}           fails\n{left}→ towpath state show\n")
        });
        let expected = format!(
            "files\n\
             \x20 ok       towpath.yaml  2 accounts\n\
             \x20 warning  flows         3 flow files, 1 warning, and so\n\
             \x20                        much more that no line of a\n\
             \x20                        terminal holds it\n\
             \x20                        → towpath check\n\
             \n\
             flows\n\
             {}\
             \x20 error    and 2 more like these: `--json` shows all\n\
             \n\
             12 errors, 1 warning",
            failing.collect::<String>()
        );
        assert_eq!(text, expected);
        let colour = Words { width: 60, colour: true }.of(&sheet);
        assert!(colour.contains("\u{1b}[33mwarning  \u{1b}[0m"), "{colour}");
    }
}
