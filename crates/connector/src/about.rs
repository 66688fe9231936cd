//! What a connector says about itself that code cannot: a Markdown file, read by its sections.

/// A connector's Markdown file, `about.md` beside its code by custom. All of it is optional.
///
/// `# Title` and a paragraph, then sections by their headings `## …`: those of [`About::SECTIONS`],
/// and one for a trigger or action by its name. *Capabilities* is a list of `- Finds: new people`;
/// *Troubleshooting* a table with the columns symptom, cause and way out, and behind it a paragraph
/// for each thing that the test of an account can find, with a heading `### …`; the others are prose.
#[derive(Clone, Copy, Debug, Default)]
pub struct About(&'static str);

/// What becomes of a request of a person for access to their data, or for its deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// The connector cannot do it: somebody does it in the system itself.
    #[default]
    ByHand,
    /// The connector does it, and it is done when the call returns.
    Synchronous,
    /// The connector asks for it, and the system does it later.
    Asynchronous,
    /// There is nothing to do: the system holds nothing about people.
    Nothing,
}

impl Handling {
    /// In a word or two.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ByHand => "by hand",
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
            Self::Nothing => "nothing to do",
        }
    }
}

/// One row of the troubleshooting table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What somebody sees.
    pub symptom: &'static str,
    /// Why it is so.
    pub cause: &'static str,
    /// What to do.
    pub way_out: &'static str,
}

impl About {
    /// The headings that every file may have.
    pub const SECTIONS: [&'static str; 8] = [
        "Capabilities",
        "Roles and account type",
        "Credentials",
        "Triggers",
        "Actions",
        "Limits",
        "Access and deletion",
        "Troubleshooting",
    ];

    pub(crate) const fn new(text: &'static str) -> Self {
        Self(text)
    }

    /// The system's name as people write it; empty if the file has no title.
    pub fn title(&self) -> &'static str {
        let title = self.0.lines().find_map(|line| line.strip_prefix("# "));
        title.map_or("", str::trim)
    }

    /// What stands between the title and the first section.
    pub fn summary(&self) -> &'static str {
        let end = self.starts().first().map_or(self.0.len(), |(_, line, _)| *line);
        let text = self.0.get(..end).unwrap_or("").trim();
        match text.strip_prefix("# ") {
            Some(titled) => titled.split_once('\n').map_or("", |(_, text)| text.trim()),
            None => text,
        }
    }

    /// The headings of the sections, in their order.
    pub fn headings(&self) -> Vec<&'static str> {
        self.starts().into_iter().map(|(heading, ..)| heading).collect()
    }

    /// The text of the section with this heading; empty if there is none.
    pub fn section(&self, heading: &str) -> &'static str {
        let starts = self.starts();
        let Some(at) = starts.iter().position(|(known, ..)| *known == heading) else { return "" };
        let begin = starts.get(at).map_or(0, |(.., body)| *body);
        let end = starts.get(at + 1).map_or(self.0.len(), |(_, line, _)| *line);
        self.0.get(begin..end).unwrap_or("").trim()
    }

    /// What the system can do through the connector and what not: a word such as `Writes`, and
    /// the rest of its line.
    pub fn capabilities(&self) -> Vec<(&'static str, &'static str)> {
        let lines = self.section("Capabilities").lines();
        let lines = lines.filter_map(|line| line.strip_prefix("- ")?.split_once(": "));
        lines.map(|(what, which)| (what.trim(), which.trim())).collect()
    }

    /// The rows of the troubleshooting table.
    pub fn troubles(&self) -> Vec<Trouble> {
        let rows = self.trouble_table().lines().filter(|line| line.starts_with('|'));
        let rows = rows.skip(2).map(|row| row.trim().trim_matches('|').split(" | "));
        rows.filter_map(|mut cells| {
            let (symptom, cause) = (cells.next()?.trim(), cells.next()?.trim());
            Some(Trouble { symptom, cause, way_out: cells.next()?.trim() })
        })
        .collect()
    }

    /// The paragraph under Troubleshooting with this heading; empty if there is none.
    pub fn trouble(&self, heading: &str) -> &'static str {
        let mut parts = self.section("Troubleshooting").split("### ").skip(1);
        let found = parts.find_map(|part| {
            let (title, text) = part.split_once('\n')?;
            (title.trim() == heading).then_some(text)
        });
        found.map_or("", str::trim)
    }

    fn trouble_table(&self) -> &'static str {
        let section = self.section("Troubleshooting");
        section.split_once("### ").map_or(section, |(table, _)| table)
    }

    /// Says what of the file would not be found on the page: sections by another heading than
    /// [`About::SECTIONS`] or `names`, and lines of another form than their section's.
    pub fn problems(&self, names: &[&str]) -> Vec<String> {
        let mut problems = vec![];
        let headings = self.headings();
        for (at, heading) in headings.iter().enumerate() {
            if !Self::SECTIONS.contains(heading) && !names.contains(heading) {
                problems.push(format!("no page has a section \"{heading}\""));
            }
            if headings.iter().take(at).any(|before| before == heading) {
                problems.push(format!("the section \"{heading}\" is there twice"));
            }
        }
        let capabilities = self.section("Capabilities").lines().filter(|line| !line.is_empty());
        if capabilities.count() != self.capabilities().len() {
            problems.push("every line of Capabilities is `- What: which`".to_owned());
        }
        let mut lines = self.trouble_table().lines().filter(|line| !line.is_empty());
        let is_row = |line: &str| line.starts_with("|--") || line.split(" | ").count() == 3;
        if !lines.all(is_row) {
            problems
                .push("Troubleshooting begins with a table: symptom, cause, way out".to_owned());
        }
        problems
    }

    /// Heading, where its line begins, and where the text behind it does; what a code block holds
    /// is no heading.
    fn starts(&self) -> Vec<(&'static str, usize, usize)> {
        let mut starts = vec![];
        let (mut at, mut fenced) = (0, false);
        for line in self.0.split_inclusive('\n') {
            fenced ^= line.starts_with("```");
            if let Some(heading) = line.strip_prefix("## ").filter(|_| !fenced) {
                starts.push((heading.trim(), at, at + line.len()));
            }
            at += line.len();
        }
        starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# Example CRM\n\nHolds people.\n\n## Capabilities\n\n- Finds: people\n\
        - Does not: delete\n\n## upsertContact\n\nA note.\n\n```md\n## no heading\n```\n\n\
        ## Troubleshooting\n\n| symptom | cause | way out |\n|---|---|---|\n| a | b | c |\n\n\
        ### No rights\n\nAsk for them.\n";

    #[test]
    fn a_file_is_read_by_its_sections() {
        let about = About::new(FILE);
        assert_eq!((about.title(), about.summary()), ("Example CRM", "Holds people."));
        assert_eq!(about.headings(), ["Capabilities", "upsertContact", "Troubleshooting"]);
        assert_eq!(about.capabilities(), [("Finds", "people"), ("Does not", "delete")]);
        assert_eq!(about.section("upsertContact"), "A note.\n\n```md\n## no heading\n```");
        let trouble = Trouble { symptom: "a", cause: "b", way_out: "c" };
        assert_eq!(about.troubles(), [trouble]);
        assert_eq!((about.trouble("No rights"), about.trouble("None")), ("Ask for them.", ""));
        assert_eq!(about.section("Limits"), "");
        assert_eq!(about.problems(&["upsertContact"]), Vec::<String>::new());
        assert_eq!(About::default().problems(&[]), Vec::<String>::new());
    }

    #[test]
    fn what_no_page_would_show_is_told() {
        let odd = "## Limit\n## Capabilities\nprose\n## Troubleshooting\n- a: b\n## Limit\n";
        assert_eq!(
            About::new(odd).problems(&["upsertContact"]),
            [
                "no page has a section \"Limit\"",
                "no page has a section \"Limit\"",
                "the section \"Limit\" is there twice",
                "every line of Capabilities is `- What: which`",
                "Troubleshooting begins with a table: symptom, cause, way out",
            ]
        );
    }
}
