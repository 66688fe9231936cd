//! The guide quotes the example connector, whole and as it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

const GUIDE: &str = include_str!("../../../docs/guide/add-a-connector.md");
const FOLDER: &str = "crates/connectors/example-crm/";

/// The files that the guide must quote.
const QUOTED: &[&str] = &[
    "src/lib.rs",
    "src/contact-changed.jsonata",
    "src/upsert-contact.jsonata",
    "tests/exchanges/system.json",
    "tests/accept.rs",
];

fn example(path: &str) -> String {
    let text = std::fs::read_to_string(format!("example-crm/{path}")).unwrap();
    text.replace("\r\n", "\n").replace("testkit_example_crm", "towpath_example_crm")
}

#[test]
fn the_guide_quotes_the_files_that_are_compiled() {
    let guide = GUIDE.replace("\r\n", "\n");
    let blocks: Vec<(&str, &str)> = guide
        .split("\n```")
        .filter_map(|block| block.split_once('\n'))
        .filter_map(|(info, text)| Some((info.split_once(&format!(" {FOLDER}"))?.1, text)))
        .collect();
    let paths: Vec<_> = blocks.iter().map(|(path, _)| *path).collect();
    assert_eq!(paths, QUOTED);
    for (path, text) in blocks {
        assert_eq!(format!("{text}\n"), example(path), "{path}");
    }
    assert!(guide.lines().count() <= 250);
}

#[test]
fn the_example_has_eighty_lines_of_rust() {
    let text = example("src/lib.rs");
    let code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    assert!(text.lines().filter(code).count() <= 80);
}
