//! Every code has its page, and every page its code.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn table_and_pages_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let pages = std::fs::read_dir(&folder).unwrap().map(|page| page.unwrap().path());
    let pages: BTreeSet<String> = pages
        .filter(|page| page.extension().is_some_and(|extension| extension == "md"))
        .map(|page| page.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name.starts_with("TP01"))
        .collect();
    let codes: BTreeSet<String> = flow::CODES.iter().map(|code| code.code.to_owned()).collect();
    assert_eq!(pages, codes);
    assert_eq!(codes.len(), flow::CODES.len(), "a code is given twice");
    for code in flow::CODES {
        let page = std::fs::read_to_string(folder.join(format!("{}.md", code.code))).unwrap();
        let title = format!("# {}: {}\n", code.code, code.title);
        assert!(page.starts_with(&title), "{} does not begin with {title:?}", code.code);
    }
}
