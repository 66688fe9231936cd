//! What is written of a page comes back, in a few bytes a message.

use serde_json::json;

use super::*;

fn lines(block: &[u8]) -> Vec<String> {
    let mut lines = vec![];
    walk(block, &mut |it: Trace<'_>| {
        let step = it.step.unwrap_or("-");
        lines.push(format!("{} {:?} {step} {}", it.message[7], it.kind, it.answer()));
    })
    .unwrap();
    lines
}

fn id(message: u8) -> String {
    format!("{message:016x}{:016x}", 0)
}

#[test]
fn what_was_told_comes_back_in_order() {
    let mut trail = Trail::default();
    assert_eq!(trail.to_bytes(), None);
    let key = [7; 16];
    let answer = json!({ "identity": "279", "n": [1.5, null, true], "say": "a \"b\"\n\u{2}" });
    let delivered = What::Delivered { step: "profiles", answer: &answer, target_key: Some("279") };
    trail.add(&key, &id(1), delivered);
    trail.add(&key, &id(2), What::Filtered { step: "profiles" });
    trail.add(&key, &id(3), What::Refused { step: None, code: "T2001" });
    trail.add(&key, &id(3), What::Refused { step: Some("events"), code: "515" });
    trail.add(&key, &id(4), What::Parked { step: "profiles" });
    trail.add(&key, &id(5), What::InDoubt { step: "events" });
    trail.add(&key, &id(6), What::Deleted);
    let letter = "3f9a3f9a3f9a3f9a";
    trail.add(&key, &id(7), What::Replayed { step: None, letter });
    trail.add(&key, &id(8), What::Superseded { step: Some("events"), letter });
    trail.add(&key, &id(8), What::Edited { step: Some("events"), letter });
    trail.add(&key, &id(8), What::Dropped { step: Some("events"), letter });
    let block = trail.to_bytes().unwrap();
    assert_eq!(
        lines(&block),
        [
            r#"1 Delivered profiles {"identity":"279","n":[1.5,null,true],"say":"a \"b\"\n "}"#,
            "2 Filtered profiles ",
            "3 Refused - T2001",
            "3 Refused events 515",
            "4 Parked profiles ",
            "5 InDoubt events ",
            "6 Deleted - ",
            "7 Replayed - 3f9a3f9a3f9a3f9a",
            "8 Superseded events 3f9a3f9a3f9a3f9a",
            "8 Edited events 3f9a3f9a3f9a3f9a",
            "8 Dropped events 3f9a3f9a3f9a3f9a",
        ]
    );
    let mut told = 0;
    trail.walk(&mut |it| told += u64::from(it.key == key_tag(&key)));
    assert_eq!(told, trail.count);
}

#[test]
fn what_many_messages_share_is_kept_once() {
    let mut trail = Trail::default();
    for n in 0..1_000u64 {
        let target = n.to_string();
        let answer = json!({ "identity": target });
        let id = format!("{n:016x}{n:016x}");
        let target_key = Some(&*target);
        trail.add(&[1; 16], &id, What::Delivered { step: "profiles", answer: &answer, target_key });
    }
    let block = trail.to_bytes().unwrap();
    assert!(block.len() < 22_000, "{} bytes", block.len());
}

#[test]
fn a_long_answer_is_cut_between_characters() {
    let mut trail = Trail::default();
    let answer = json!({ "text": "ü".repeat(10_000), "more": 1 });
    trail.add(&[1; 16], &id(1), What::Delivered { step: "s", answer: &answer, target_key: None });
    let line = lines(&trail.to_bytes().unwrap()).remove(0);
    assert!(line.ends_with("üü…") && line.len() < 220, "{line}");
}

#[test]
fn no_bytes_make_it_fall() {
    let mut trail = Trail::default();
    let answer = json!({ "id": 1 });
    trail.add(
        &[1; 16],
        "not hex",
        What::Delivered { step: "s", answer: &answer, target_key: Some("1") },
    );
    let block = trail.to_bytes().unwrap();
    assert_eq!(walk(&block, &mut |_| {}), Some(()));
    for at in 0..block.len() {
        assert_eq!(walk(&block[..at], &mut |_| {}), None);
        let mut broken = block.clone();
        broken[at] ^= 0xff;
        // It may still be a block, of other things.
        walk(&broken, &mut |_| {}).unwrap_or_default();
    }
}
