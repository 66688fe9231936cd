//! Every code by which an action refuses messages is on its page, with a way out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use connector::ActionDescriptor;

/// The sources, by the names of their modules, without their tests.
fn sources() -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "rs"));
    let source = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), text)
    };
    files.map(source).collect()
}

/// The refusals that a source has names for, and their codes: a text, or another's `NAME.code`.
fn named(source: &str) -> BTreeMap<&str, &str> {
    let defined = source.split("const ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once(": Rejection =")?;
        let (_, rest) = rest.split_once("Rejection::new(")?;
        Some((name, rest.split(',').next()?.trim().trim_matches('"')))
    });
    defined.collect()
}

/// The names of those that a source gives as outcomes.
fn given(source: &str) -> Vec<&str> {
    let plain: Vec<&str> = source.split("because(").collect();
    let before = plain.iter().take(plain.len() - 1).map(|text| text.trim_end());
    let names = before.filter_map(|text| {
        let text = text.strip_suffix('.')?.trim_end();
        let end = text.rfind(|c: char| !(c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()));
        text.get(end.map_or(0, |at| at + 1)..).filter(|name| !name.is_empty())
    });
    names.collect()
}

fn camel(module: &str) -> String {
    let mut words = module.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name + letters.as_str()
    })
}

#[test]
fn every_code_that_an_action_gives_is_on_its_page() {
    let connector = towpath_clevertap::connector();
    let sources = sources();
    let shared = named(&sources["rejections"]);
    let mut seen = 0;
    for (module, source) in &sources {
        // What several actions share is explained by those of them that use it.
        let users: Vec<_> = sources
            .iter()
            .filter(|(user, text)| *user == module || text.contains(&format!("{module}::")))
            .filter_map(|(user, _)| connector.find_action(&camel(user)))
            .collect();
        let own = connector.find_action(&camel(module));
        for name in given(source) {
            let code = named(source).get(name).or_else(|| shared.get(name)).copied();
            let code = code.unwrap_or_else(|| panic!("{module}: no code of {name}"));
            let other = code.strip_suffix(".code").and_then(|path| path.rsplit("::").next());
            let code = other.map_or(code, |other| shared[other]);
            let knows = |of: &ActionDescriptor| of.rejections.iter().any(|it| it.covers(code));
            let explained = own.map_or_else(|| users.iter().any(|it| knows(it)), knows);
            assert!(explained, "{module} gives `{code}`, which no page explains");
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
    // Whatever is sent may be refused by a status of HTTP.
    for action in connector.actions() {
        for status in ["http400", "http405", "http409"] {
            let known = action.rejections.iter().any(|it| it.covers(status));
            assert!(known, "{}: {status}", action.name);
        }
    }
}
