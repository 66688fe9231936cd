//! Every code by which an action refuses messages is on its page, with a way out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use connector::prelude::*;
use connector::{ActionDescriptor, ErasedItem, Services};
use sandbox::{Action as Answer, Fault, Options, Sandbox, Vendor};
use schemars::Schema;

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
}

/// What makes refusals whose codes come from elsewhere: from an answer, or from an error that it was
/// handed. [`what_is_refused_by_a_status_is_on_the_page`] looks at those.
const PASSED_ON: [&str; 5] = ["answer", "call", "recipients", "staged", "trigger_campaign"];

#[test]
fn no_other_refusal_is_made_without_a_name() {
    for (module, source) in &sources() {
        let source = source.split_whitespace().collect::<Vec<_>>().join(" ");
        for made in ["Outcome::rejected(", "Error::Reject { code:"] {
            let known = !source.contains(made) || PASSED_ON.contains(&module.as_str());
            assert!(known, "{module} makes a refusal by `{made}`: give it by a `Rejection`");
        }
    }
}

/// An account of a partner, and where it is.
async fn account() -> (Sandbox, Api) {
    let sandbox = Sandbox::start(Options { receivers: 0, ..Options::default() }).await.unwrap();
    let known = sandbox.credentials();
    let values = [
        ("projectId", known.project_id.as_str()),
        ("passcode", &known.passcode),
        ("token", &known.token),
        ("partnerName", "attribution partner"),
    ];
    let values: BTreeMap<_, _> = values.map(|(name, it)| (name.to_owned(), it.to_owned())).into();
    let connector = towpath_clevertap::connector();
    let account = connector.account("engagement", Some(&sandbox.clevertap_url()), values).unwrap();
    let api = Api::new(&connector, account, &BTreeMap::new(), Services::bare()).unwrap();
    (sandbox, api)
}

/// The first example that a schema has.
fn example(schema: &Schema) -> Value {
    let examples = schema.get("examples").and_then(Value::as_array);
    examples.and_then(|examples| examples.first()).cloned().unwrap_or_else(|| json!({}))
}

/// What waits of an action, where it waits for something else than a profile that is to go.
fn waits(action: &str, at: &str) -> Vec<String> {
    let [put, complete] = ["put", "complete"].map(|stage| {
        let url = format!("{at}/files/1");
        let mut token = json!({ "stage": stage, "url": url, "name": "n" });
        if stage == "put" {
            token["until"] = json!(i64::MAX);
            token["csv"] = json!("c");
        }
        token.to_string()
    });
    match action {
        "uploadCatalog" | "uploadCustomList" => vec![put, complete],
        "counts" => vec!["profiles.json 1".to_owned()],
        "trends" | "topProperties" | "campaignReport" => vec!["1".to_owned()],
        _ => vec![],
    }
}

#[tokio::test]
async fn what_is_refused_by_a_status_is_on_the_page() {
    let connector = towpath_clevertap::connector();
    let (sandbox, api) = account().await;
    let coded = |code: u16| {
        json!({ "status": "fail", "error": "Malformed request", "code": code }).to_string()
    };
    let uncoded = r#"{"status":"fail","error":"Malformed request"}"#.to_owned();
    let mut answers = vec![(200, uncoded), (200, coded(3)), (200, coded(405))];
    answers.extend([400, 403, 404, 405, 409, 415, 422].map(|status| (status, coded(status))));
    for descriptor in connector.actions() {
        let fields = example(&(descriptor.fields)());
        let action = (descriptor.configure)(fields).unwrap();
        let input = action.prepare(example(&(descriptor.input)())).unwrap();
        let mut given = BTreeSet::new();
        for (status, body) in &answers {
            let answer = Answer::Body { status: *status, body: body.clone() };
            sandbox.clear_faults();
            sandbox.fault(Fault::new(Vendor::CleverTap, "", answer).forever());
            let item = ErasedItem { id: "message".into(), key: "1".into(), input: input.clone() };
            let mut told = vec![action.run(&api, &[item]).await.map(|it| it.into_vec().remove(0))];
            for token in waits(descriptor.name, &sandbox.clevertap_url()) {
                told.push(action.check(&api, &token).await.map(Some));
            }
            given.extend(told.into_iter().filter_map(|told| match told {
                Ok(Some(Outcome::Rejected { code, .. })) | Err(Error::Reject { code, .. }) => {
                    Some(code)
                }
                _ => None,
            }));
        }
        let name = descriptor.name;
        for code in &given {
            let known = descriptor.rejections.iter().any(|it| it.covers(code));
            assert!(known, "{name} gives `{code}`, which its page does not explain");
        }
        // Nor does the page say that there are others where all become one.
        let others = given.iter().any(|code| code != "http400");
        let any = descriptor.rejections.iter().any(|it| it.code == "http<status>");
        assert_eq!(any, others, "{name} gives {given:?}");
    }
}
