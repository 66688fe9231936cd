//! `towpath partner-kit` as a partner meets it: what is printed, what is open, what is wrong.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn kit(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.current_dir(folder).arg("partner-kit").args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_document_is_filled_in_and_what_is_open_is_listed() {
    let folder = TempDir::new().unwrap();
    let filled = ["clevertap", "--kind", "attribution", "--set", "company=Example Ltd"];
    let output = kit(folder.path(), &filled);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.starts_with("# Example Ltd: attribution for CleverTap\n"), "{text}");
    for part in ["UTM Visited", "https://mec1.api.clevertap.com", "getCleverTapID", "Whom to reach"]
    {
        assert!(text.contains(part), "{part}");
    }
    assert!(text.contains("_to be filled in: how to reach your support_") && !text.contains("{{"));
    let said = said(&output);
    for open in ["--set scope=", "--set value=", "--set support=", "40 x 40"] {
        assert!(said.contains(open), "{open}: {said}");
    }
    assert!(!said.contains("--set company="), "{said}");
    let technical = kit(folder.path(), &["clevertap", "--kind", "technical", "--output", "t.md"]);
    assert!(technical.status.success());
    let written = std::fs::read_to_string(folder.path().join("t.md")).unwrap();
    assert!(written.contains("`$source`") && technical.stdout.is_empty());
    // One that is there is somebody's work.
    let again = kit(folder.path(), &["clevertap", "--kind", "technical", "--output", "t.md"]);
    assert_eq!(again.status.code(), Some(4));
}

#[test]
fn what_cannot_be_meant_or_handed_in_is_said() {
    let folder = TempDir::new().unwrap();
    let logo = folder.path().join("logo.svg");
    let rect = "<rect width=\"64\" height=\"64\" fill=\"white\"/>";
    let size = "width=\"64\" height=\"64\" viewBox=\"0 0 64 64\"";
    let svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" {size}>{rect}</svg>");
    std::fs::write(&logo, svg).unwrap();
    let kind = ["clevertap", "--kind", "technical"];
    for (args, code, words) in [
        (vec!["clevertap"], 4, "`--kind attribution`"),
        (vec!["clevertap", "--kind", "reseller"], 4, "no `reseller` partners"),
        (vec!["clevertop"], 4, "clevertap"),
        (vec!["file"], 4, "nothing is known of partners"),
        ([&kind[..], &["--set", "compani=x"]].concat(), 4, "company"),
        ([&kind[..], &["--set", "company"]].concat(), 2, "NAME=TEXT"),
        ([&kind[..], &["--logo", "logo.svg"]].concat(), 3, "it is 64 x 64"),
        ([&kind[..], &["--logo", "logo.svg"]].concat(), 3, "covers its corners and 100 %"),
        ([&kind[..], &["--logo", "none.svg"]].concat(), 4, "none.svg"),
    ] {
        let output = kit(folder.path(), &args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{args:?}: {}", said(&output));
    }
}
