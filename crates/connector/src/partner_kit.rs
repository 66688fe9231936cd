//! What a system wants from companies that become its partners: a document to fill in, and a logo.

use std::collections::BTreeMap;

/// A document that a partner hands in, in Markdown, with places to be filled in.
///
/// A place is `{{name: what is meant}}`; later ones of the same name may be `{{name}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartnerKit {
    /// What the partner does there, in one word: `attribution`.
    pub kind: &'static str,
    /// The same in a sentence.
    pub about: &'static str,
    /// The document.
    pub document: &'static str,
    /// How wide and high the logo has to be, in pixels; an SVG, transparent behind.
    pub logo: Option<(u32, u32)>,
}

/// A document as far as it is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The document. What is open says what is meant, in italics.
    pub text: String,
    /// What is open: the names of its places, and what is meant.
    pub open: Vec<(&'static str, &'static str)>,
}

impl PartnerKit {
    /// The places of the document: their names, and what is meant.
    pub fn places(&self) -> Vec<(&'static str, &'static str)> {
        let mut places: Vec<(&str, &str)> = vec![];
        for part in self.parts() {
            if let Part::Place(name, meant) = part
                && places.iter().all(|(known, _)| *known != name)
            {
                places.push((name, meant));
            }
        }
        places
    }

    /// Fills the document in.
    pub fn filled(&self, values: &BTreeMap<String, String>) -> Filled {
        let places = self.places();
        let given = |name: &str| values.get(name).map(|it| it.trim()).filter(|it| !it.is_empty());
        let mut text = String::new();
        for part in self.parts() {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Place(name, _) => match given(name) {
                    Some(value) if in_table(&text) => text.push_str(&cell(value)),
                    Some(value) => text.push_str(value),
                    None => {
                        let meant = places.iter().find(|(known, _)| *known == name);
                        let meant = meant.map_or(name, |(_, meant)| meant);
                        text.push_str(&format!("_to be filled in: {meant}_"));
                    }
                },
            }
        }
        let open = places.into_iter().filter(|(name, _)| given(name).is_none()).collect();
        Filled { text, open }
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        let mut rest = self.document;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            if let Some(begun) = rest.strip_prefix("{{")
                && let Some((place, behind)) = begun.split_once("}}")
            {
                rest = behind;
                let (name, meant) = place.split_once(':').unwrap_or((place, ""));
                return Some(Part::Place(name.trim(), meant.trim()));
            }
            let skip = if rest.starts_with("{{") { 2 } else { 0 };
            let next = rest.get(skip..).and_then(|text| text.find("{{"));
            let (text, behind) = rest.split_at(next.map_or(rest.len(), |at| at + skip));
            rest = behind;
            Some(Part::Text(text))
        })
    }
}

/// Whether what comes next stands in a row of a table.
fn in_table(before: &str) -> bool {
    before.rsplit('\n').next().is_some_and(|line| line.starts_with('|'))
}

/// A text as a table's cell can hold it: `|` would end the cell, a line's end the row.
fn cell(value: &str) -> String {
    value.lines().map(str::trim).collect::<Vec<_>>().join("<br>").replace('|', "\\|")
}

enum Part {
    Text(&'static str),
    Place(&'static str, &'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_table_breaks_none() {
        let document = "{{a: a}}\n| x | {{a}} | {{b: b}} |\n";
        let kit = PartnerKit { kind: "", about: "", document, logo: None };
        let value = |text: &str| text.to_owned();
        let values =
            BTreeMap::from([(value("a"), value("one | two\r\n  three")), (value("b"), value("c"))]);
        let text = kit.filled(&values).text;
        assert_eq!(text, "one | two\r\n  three\n| x | one \\| two<br>three | c |\n");
    }

    #[test]
    fn places_are_filled_in_and_open_ones_say_what_is_meant() {
        let kit = PartnerKit {
            kind: "reseller",
            about: "",
            document: "# {{company: the company's name}}\n\n{{company}} does {{what: its work}}{{.\n",
            logo: None,
        };
        let names: Vec<_> = kit.places().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["company", "what"]);
        let values = BTreeMap::from([("company".to_owned(), " Example ".to_owned())]);
        let filled = kit.filled(&values);
        assert_eq!(filled.text, "# Example\n\nExample does _to be filled in: its work_{{.\n");
        assert_eq!(filled.open, [("what", "its work")]);
    }
}
