//! Findings as a person reads them, with the line they are about and a caret under the place.

use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

use crate::finding::{Finding, Severity};
use crate::secret;

/// Shows findings of one file, whose text is `text`; colours only if `colour`.
///
/// Secrets in the lines shown are replaced by asterisks.
pub fn render(findings: &[Finding], text: &str, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_width(100)
        .with_context_lines(1);
    let shown = secret::masked(text, findings);
    let mut out = String::new();
    for finding in findings {
        let source = NamedSource::new(&finding.place.file, shown.clone());
        let report = Report { finding, source };
        // Writing to a string cannot fail; a report that miette cannot draw is told in one line.
        if handler.render_report(&mut out, &report).is_err() {
            out.push_str(&line(finding));
        }
        out.push('\n');
    }
    out
}

/// One finding in one line: `file:line:column: error[TP0101]: message`.
pub fn line(finding: &Finding) -> String {
    let Finding { severity, code, message, place, .. } = finding;
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    format!("{}:{}:{}: {severity}[{code}]: {message}", place.file, place.line, place.column)
}

#[derive(Debug)]
struct Report<'a> {
    finding: &'a Finding,
    source: NamedSource<String>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.finding.message)
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.finding.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.finding.place.span.clone();
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, span))))
    }
}
