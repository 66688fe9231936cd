//! What was found: a line each, in groups.

use serde::Serialize;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Somebody should look at it; flows run.
    Warning,
    /// It keeps something from running, or will.
    Error,
}

impl Verdict {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub(crate) group: &'static str,
    /// What was looked at: a word for machines that stays the same.
    pub(crate) check: &'static str,
    /// Of which file, flow or account.
    pub(crate) about: String,
    pub(crate) verdict: Verdict,
    pub(crate) says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) way_out: Option<String>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    group: &'static str,
    lines: Vec<Line>,
}

impl Sheet {
    /// What is found from here on belongs to this group.
    pub(crate) fn group(&mut self, group: &'static str) {
        self.group = group;
    }

    pub(crate) fn ok(
        &mut self,
        check: &'static str,
        about: impl Into<String>,
        says: impl Into<String>,
    ) {
        self.add(check, about.into(), Verdict::Ok, says.into(), None);
    }

    pub(crate) fn warning(
        &mut self,
        check: &'static str,
        about: impl Into<String>,
        says: impl Into<String>,
        way_out: impl Into<String>,
    ) {
        self.add(check, about.into(), Verdict::Warning, says.into(), Some(way_out.into()));
    }

    pub(crate) fn error(
        &mut self,
        check: &'static str,
        about: impl Into<String>,
        says: impl Into<String>,
        way_out: impl Into<String>,
    ) {
        self.add(check, about.into(), Verdict::Error, says.into(), Some(way_out.into()));
    }

    fn add(
        &mut self,
        check: &'static str,
        about: String,
        verdict: Verdict,
        says: String,
        way_out: Option<String>,
    ) {
        self.lines.push(Line { group: self.group, check, about, verdict, says, way_out });
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many lines have a verdict.
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }

    /// Whether anything of a group is not as it should be.
    pub(crate) fn is_well(&self, group: &str) -> bool {
        self.lines.iter().all(|line| line.group != group || line.verdict == Verdict::Ok)
    }
}
