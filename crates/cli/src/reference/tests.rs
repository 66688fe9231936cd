//! The pages are up to date and complete, their examples check clean, their links lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use connector::{Connector, Rejection};
use serde_json::json;

use super::example;
use super::fields::Shape;
use super::{Page, Schemas, Terminal, markdown, pages};
use crate::args::Cli;
use crate::{examples, registry};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn all() -> (Vec<Connector>, Vec<Page>) {
    let connectors = registry::connectors();
    let pages = pages(&connectors);
    (connectors, pages)
}

fn text<'p>(pages: &'p [Page], name: &str) -> &'p str {
    &pages.iter().find(|page| page.name == format!("{name}.md")).unwrap().text
}

#[track_caller]
fn says(page: &str, what: &str) {
    assert!(page.contains(what), "no `{what}` in:\n{page}");
}

#[test]
fn the_pages_are_up_to_date() {
    let (_, pages) = all();
    for Page { name, text } in &pages {
        let kept = std::fs::read_to_string(root().join("docs/reference").join(name));
        let kept = kept.unwrap_or_default().replace("\r\n", "\n");
        assert!(kept == *text, "docs/reference/{name} is old: run `cargo xtask schema`");
    }
    let index = text(&pages, "README");
    for file in std::fs::read_dir(root().join("docs/reference")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") && name != "README.md" {
            says(index, &format!("({name})"));
        }
    }
}

#[test]
fn a_connectors_page_has_everything_that_it_declares() {
    let (connectors, pages) = all();
    let schemas = Schemas::of(&connectors);
    for connector in &connectors {
        let page = text(&pages, connector.name());
        let names = connector.triggers().iter().map(|it| it.name);
        let names: Vec<_> = names.chain(connector.actions().iter().map(|it| it.name)).collect();
        assert_eq!(connector.documentation().problems(&names), Vec::<String>::new());
        for heading in connector.documentation().headings() {
            // Capabilities are rows of the first table.
            if heading != "Capabilities" {
                let section = connector.documentation().section(heading);
                says(page, section.lines().next().unwrap());
            }
        }
        for setting in connector.settings() {
            says(page, &format!("| `{}` |", setting.name));
        }
        for limit in connector.limits() {
            says(page, &format!("| `{}` | {} |", limit.class, limit.concurrency));
        }
        for name in &names {
            let whole = format!("{}.{name}", connector.name());
            says(page, &format!("### `{whole}`"));
            for field in schemas.fields(&whole).fields(false) {
                says(page, &format!("| `{}` |", field.path));
            }
        }
        for trigger in connector.triggers() {
            says(page, trigger.mapping.trim());
            for schema in trigger.record.iter().chain(&trigger.message) {
                for field in Shape::of(&schema().to_value()).fields(true) {
                    says(page, &format!("| `{}` |", field.path));
                }
            }
        }
        for action in connector.actions() {
            says(page, action.mapping.trim());
            for field in Shape::of(&(action.input)().to_value()).fields(true) {
                says(page, &format!("| `{}` |", field.path));
            }
            for rejection in action.rejections {
                says(
                    page,
                    &format!(
                        "| `{}` | {} | {} |",
                        rejection.code, rejection.meaning, rejection.way_out
                    ),
                );
            }
        }
    }
}

#[test]
fn a_list_need_not_say_what_it_holds() {
    let schema = json!({
        "properties": { "anything": { "type": ["array", "null"], "items": true } },
    });
    let fields = Shape::of(&schema).fields(true);
    assert_eq!((fields[0].path.as_str(), fields[0].kind.as_str()), ("anything", "list"));
    assert_eq!(fields.len(), 1);
}

#[test]
fn every_command_and_option_is_on_its_page() {
    fn walk(command: &Command, path: &str, page: &str, leaves: &mut BTreeSet<String>) {
        for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
            let name = argument.get_long().unwrap_or_else(|| argument.get_id().as_str());
            if !["help", "version"].contains(&name) {
                says(page, &argument.to_string());
            }
        }
        let mut inner = command.get_subcommands().filter(|it| !it.is_hide_set());
        let mut inner = inner.by_ref().filter(|it| it.get_name() != "help").peekable();
        let runs_alone = !path.is_empty() && !command.is_subcommand_required_set();
        if inner.peek().is_none() || runs_alone {
            leaves.insert(path.to_owned());
        }
        for inner in inner {
            let path = format!("{path} {}", inner.get_name()).trim_start().to_owned();
            says(page, &format!("## `towpath {path}`"));
            walk(inner, &path, page, leaves);
        }
    }
    let (_, pages) = all();
    let page = text(&pages, "commands");
    let mut leaves = BTreeSet::new();
    let mut command = Cli::command();
    command.build();
    walk(&command, "", page, &mut leaves);
    let given: BTreeSet<_> =
        examples::EXAMPLES.iter().map(|(command, _)| (*command).to_owned()).collect();
    assert_eq!(leaves, given, "every command has examples, in examples.rs");
    for (command, examples) in examples::EXAMPLES {
        for (line, _) in *examples {
            let line = line.split(" > ").next().unwrap();
            // What another program writes into it is before it.
            let line = line.rsplit(" | ").next().unwrap();
            let read = examples::command().try_get_matches_from(line.split(' '));
            assert!(read.is_ok(), "{line}: {}", read.unwrap_err());
            assert!(line.starts_with(&format!("towpath {command}")), "{line}");
            says(page, line);
        }
    }
    for code in ["| 0 |", "| 4 |", "| 130 |"] {
        says(page, code);
    }
}

#[test]
fn every_key_of_the_files_is_on_its_page() {
    let (connectors, pages) = all();
    let schemas = Schemas::of(&connectors);
    for (schema, page) in [(&schemas.flow, "flow-file"), (&schemas.config, "towpath-yaml")] {
        let page = text(&pages, page);
        for field in Shape::of(schema).fields(true) {
            let own = field.path.rsplit('.').next().unwrap();
            says(page, &format!("| `{own}` |"));
            assert!(!field.about.is_empty(), "`{}` is not explained", field.path);
        }
    }
}

#[test]
fn the_examples_check_clean() {
    let connectors = registry::connectors();
    let with_accounts = connectors.iter().filter(|it| it.has_accounts());
    let accounts: Vec<_> = with_accounts.map(example::account).collect();
    let config = format!("accounts:\n{}\n", accounts.join("\n"));
    let (config, findings) = flow::config::check("towpath.yaml", &config, &connectors);
    assert_eq!(findings.len(), 0, "{findings:?}");
    let triggers: Vec<_> = connectors
        .iter()
        .flat_map(|it| it.triggers().iter().map(move |own| example::trigger(it, own)))
        .collect();
    let steps: Vec<_> = connectors
        .iter()
        .flat_map(|it| it.actions().iter().map(move |own| example::step(it, own)))
        .collect();
    for trigger in &triggers {
        for step in &steps {
            let file = format!("flow: example\n{trigger}{step}");
            let context = flow::Context { connectors: &connectors, config: config.as_ref() };
            let (flow, findings) = flow::check("flow.yaml", &file, &context);
            assert!(flow.is_some() && findings.is_empty(), "{file}\n{findings:?}");
        }
    }
    // The example of the configuration's page is one file, and right as it stands.
    let (_, pages) = all();
    let page = text(&pages, "towpath-yaml");
    let whole = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let (_, findings) = flow::config::check("towpath.yaml", whole, &connectors);
    assert_eq!(findings.len(), 0, "{findings:?}\n{whole}");
    // The input that a page shows is one that the action takes.
    for action in connectors.iter().flat_map(Connector::actions) {
        let configured =
            (action.configure)(example::fields(&(action.fields)().to_value())).unwrap();
        let input = (action.input)().to_value();
        if let Some(sample) = Shape::of(&input).example() {
            configured.prepare(sample.clone()).unwrap();
        }
    }
}

/// The first text in quotes behind `at`, where nothing but white space is before it.
fn literal(source: &str) -> Option<&str> {
    source.trim_start().strip_prefix('"')?.split('"').next()
}

#[test]
fn every_code_of_a_refusal_is_declared() {
    for connector in registry::connectors() {
        let declared: Vec<&Rejection> =
            connector.actions().iter().flat_map(|it| it.rejections).collect();
        if declared.is_empty() {
            continue; // All its codes are the system's own, and nothing is said of them.
        }
        let folder = root().join("crates/connectors").join(connector.name()).join("src");
        let mut files = vec![folder];
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(std::fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap();
            for start in ["rejected(", "Rejection::new("] {
                for behind in source.split(start).skip(1) {
                    let known = match literal(behind) {
                        Some(code) => declared.iter().any(|it| it.code == code),
                        // A code that is not written out is the system's own.
                        None => declared.iter().any(|it| it.code.contains('<')),
                    };
                    let line = behind.lines().next().unwrap_or("");
                    assert!(known, "{}: `{start}{line}` is not declared", path.display());
                }
            }
        }
    }
}

#[test]
fn the_codes_of_all_are_on_the_page_of_dead_letters() {
    for (file, start) in [
        ("crates/flow/src/message.rs", "Unmappable::new("),
        ("crates/connector/src/api/request.rs", "code: "),
        ("crates/engine/src/batch.rs", "let code = "),
    ] {
        let source = std::fs::read_to_string(root().join(file)).unwrap();
        let codes: Vec<_> = source.split(start).skip(1).filter_map(literal).collect();
        assert!(!codes.is_empty(), "{file}");
        for code in codes {
            let known = super::dead_letters::EVERYWHERE.iter().any(|it| it.covers(code));
            assert!(known, "`{code}` of {file} is not on the page");
        }
    }
}

#[test]
fn the_terminal_shows_no_line_that_is_too_long() {
    let connectors = registry::connectors();
    let schemas = Schemas::of(&connectors);
    for width in [80, 140] {
        let mut terminal = Terminal::of(width);
        terminal.connectors(&connectors);
        for connector in &connectors {
            terminal.connector(connector);
            connector.triggers().iter().for_each(|it| terminal.trigger(connector, it, &schemas));
            connector.actions().iter().for_each(|it| terminal.action(connector, it, &schemas));
        }
        let text = terminal.into_text();
        let longest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= width, "{longest}");
    }
}

#[test]
fn links_lead_somewhere() {
    let mut files = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    let mut broken = vec![];
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for target in links(&text) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let to = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let anchored = anchor.is_empty()
                || std::fs::read_to_string(&to).is_ok_and(|to| anchors(&to).contains(anchor));
            if !to.exists() || !anchored {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The relative links of a page; what code holds is none.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = vec![];
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for behind in line.split("](").skip(1) {
            let target = behind.split(')').next().unwrap_or("");
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// The anchors of a page's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut anchors, mut fenced) = (BTreeSet::new(), false);
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() && heading.starts_with(' ') && !fenced {
            let anchor = markdown::anchor(heading);
            let again = (1..).map(|n| format!("{anchor}-{n}"));
            let mut names = std::iter::once(anchor.clone()).chain(again);
            let free = names.find(|name| !anchors.contains(name)).unwrap();
            anchors.insert(free);
        }
    }
    anchors
}
