//! What several pages of accounts show: checks, paragraphs of help, addresses to copy.

use connector::{Tested, Verdict};
use http::StatusCode;

use super::host::Failed;
use crate::page::{Page, escape};

/// The style of accounts' pages, besides that of all pages.
pub(super) const STYLE: &str = include_str!("accounts.css");

/// A page with the style and the script of accounts.
pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Page {
    let body = format!(
        "<link rel=\"stylesheet\" href=\"/assets/accounts.css\">\n{body}\n\
         <script src=\"/assets/accounts.js\" defer></script>"
    );
    Page::new(status, title, &body)
}

/// What a test found, as a list.
pub(super) fn checks(tested: &Tested) -> String {
    let line = |kind: &str, word: &str, what: &str, said: &str| {
        let said = if said.is_empty() { String::new() } else { format!(": {}", escape(said)) };
        format!("<li class=\"{kind}\"><strong>{word}</strong> {}{said}</li>\n", escape(what))
    };
    let lines = tested.checks.iter().map(|check| match &check.verdict {
        Verdict::Passed { detail } => line("passed", "Passed", check.what, detail),
        Verdict::Failed { reason, .. } => line("failed", "Failed", check.what, reason),
        Verdict::Untested { why } => line("untested", "Not tested", check.what, why),
    });
    format!("<ul class=\"checks\">\n{}</ul>\n", lines.collect::<String>())
}

/// What a failed test found, and what helps.
pub(super) fn failed(failed: &Failed) -> String {
    let helps = failed.troubles.iter().map(|(heading, text)| {
        format!(
            "<section class=\"help-box\"><h2>{}</h2>\n{}</section>\n",
            escape(heading),
            prose(text)
        )
    });
    format!("{}{}", checks(&failed.tested), helps.collect::<String>())
}

/// Paragraphs of a connector's page: emphasis and code are kept, the rest is text.
pub(super) fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|it| !it.trim().is_empty());
    paragraphs.map(|it| format!("<p>{}</p>\n", inline(it))).collect()
}

/// The same of one line.
pub(super) fn inline(text: &str) -> String {
    marked(&marked(&escape(text), '`', "code"), '*', "em")
}

/// What stands between two marks becomes an element.
fn marked(text: &str, mark: char, element: &str) -> String {
    let parts: Vec<_> = text.split(mark).collect();
    let odd = parts.len() % 2 == 0;
    let last = parts.len().saturating_sub(1);
    let part = |(at, part): (usize, &&str)| match at % 2 {
        1 if odd && at == last => format!("{mark}{part}"),
        1 => format!("<{element}>{part}</{element}>"),
        _ => (*part).to_owned(),
    };
    parts.iter().enumerate().map(part).collect()
}

/// An address to copy into the system's app.
pub(super) fn redirect_url(url: &str) -> String {
    let url = escape(url);
    format!(
        "<div class=\"copy\"><label for=\"redirect-url\">Redirect address\
         <span class=\"help\">Enter it into the app at the system before somebody logs in.</span>\
         <input id=\"redirect-url\" type=\"text\" readonly value=\"{url}\"></label>\
         <button type=\"button\" class=\"second\" data-copies=\"redirect-url\" hidden>Copy</button>\
         <span class=\"said\" role=\"status\"></span></div>\n"
    )
}

/// Words as a sentence begins.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_keeps_its_emphasis_and_nothing_else() {
        assert_eq!(
            prose("Open *My account* and `<b>`.\n\nOdd * star"),
            "<p>Open <em>My account</em> and <code>&lt;b&gt;</code>.</p>\n<p>Odd * star</p>\n"
        );
    }
}
