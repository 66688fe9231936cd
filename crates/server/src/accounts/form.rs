//! The form of a new account, made of its connector's settings.

use std::collections::BTreeMap;

use connector::{Auth, Connector, Setting};

use super::host::New;
use super::markup;
use crate::page::escape;

/// What forms call the base URL.
const BASE_URL: Setting = Setting::plain(
    "baseUrl",
    "Replaces the connector's own address, for a stand-in or a proxy. Mostly empty.",
)
.labelled("Base URL")
.or("");

const NAME: Setting =
    Setting::plain("name", "What flow files call it: letters, digits, `-` and `_`.")
        .labelled("Name of the account");

/// A form with what was entered so far, and what is wrong with it by field. Secrets are never
/// written into it.
pub(super) fn form(
    connector: &Connector,
    new: &New,
    problems: &BTreeMap<String, String>,
    redirect_url: &str,
    csrf: &str,
) -> String {
    let name = Some(new.name.as_str()).filter(|name| !name.is_empty());
    let mut fields = field(&NAME, name, problems);
    for setting in connector.settings() {
        let value = new.settings.get(setting.name).map(String::as_str);
        fields.push_str(&field(setting, value.filter(|_| !setting.secret), problems));
    }
    if matches!(connector.auth(), Auth::OAuth2(oauth2) if oauth2.login.is_some()) {
        fields.push_str(&markup::redirect_url(redirect_url));
    }
    let open = if problems.contains_key(BASE_URL.name) { " open" } else { "" };
    let base_url = field(&BASE_URL, new.base_url.as_deref(), problems);
    format!(
        "{}<form method=\"post\" action=\"/accounts\" class=\"account\">\n\
         <input type=\"hidden\" name=\"csrf\" value=\"{}\">\
         <input type=\"hidden\" name=\"connector\" value=\"{}\">\n{fields}\
         <details{open}><summary>More</summary>{base_url}</details>\n\
         <p><button>Test and save</button> <a href=\"/accounts\">Cancel</a></p></form>\n",
        summary(connector, problems),
        escape(csrf),
        escape(connector.name()),
    )
}

/// What is wrong, with a way to each field.
fn summary(connector: &Connector, problems: &BTreeMap<String, String>) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let lines = problems.iter().map(|(field, problem)| {
        let known = connector.settings().iter().chain([&NAME, &BASE_URL]);
        let label = known.into_iter().find(|it| it.name == field).map(Setting::label);
        let label = escape(&label.unwrap_or_else(|| field.clone()));
        format!("<li><a href=\"#{}\">{label}</a>: {}</li>", escape(field), markup::inline(problem))
    });
    format!(
        "<div class=\"summary\" role=\"alert\"><p>Nothing was saved. Correct this first:</p><ul>{}</ul></div>\n",
        lines.collect::<String>()
    )
}

fn field(setting: &Setting, value: Option<&str>, problems: &BTreeMap<String, String>) -> String {
    let (key, label) = (escape(setting.name), escape(&setting.label()));
    let problem = problems.get(setting.name);
    let mut described = format!("{key}-help");
    let error = problem.map_or_else(String::new, |problem| {
        described = format!("{key}-error {described}");
        format!("<span class=\"error\" id=\"{key}-error\">{}</span>", markup::inline(problem))
    });
    let invalid = if problem.is_some() { " aria-invalid=\"true\"" } else { "" };
    let required = if setting.default.is_none() { " required" } else { "" };
    let rest =
        format!("id=\"{key}\" name=\"{key}\" aria-describedby=\"{described}\"{invalid}{required}");
    let shown = value.or(setting.default).unwrap_or_default();
    let input = if setting.choices.is_empty() {
        let kind = if setting.secret { "password" } else { "text" };
        let complete = if setting.secret { "new-password" } else { "off" };
        format!(
            "<input type=\"{kind}\" {rest} value=\"{}\" autocomplete=\"{complete}\" \
             autocapitalize=\"none\" spellcheck=\"false\">",
            escape(shown)
        )
    } else {
        let options = setting.choices.iter().map(|(value, words)| {
            let selected = if *value == shown { " selected" } else { "" };
            let (value, words) = (escape(value), escape(words));
            format!("<option value=\"{value}\"{selected}>{words} ({value})</option>")
        });
        format!("<select {rest}>{}</select>", options.collect::<String>())
    };
    let optional = if setting.default == Some("") { " <small>(optional)</small>" } else { "" };
    let help = markup::inline(&setting.explained());
    format!(
        "<div class=\"field\"><label for=\"{key}\">{label}{optional}</label>\
         <span class=\"help\" id=\"{key}-help\">{help}</span>{error}{input}</div>\n"
    )
}

/// What the form says, as it was sent: secrets are in it.
pub(super) fn read(fields: Vec<(String, String)>) -> New {
    let mut new = New::default();
    for (field, value) in fields {
        match field.as_str() {
            "csrf" => {}
            "name" => value.trim().clone_into(&mut new.name),
            "connector" => new.connector = value,
            "baseUrl" => {
                new.base_url = Some(value.trim().to_owned()).filter(|url| !url.is_empty());
            }
            _ => drop(new.settings.insert(field, value)),
        }
    }
    new
}
