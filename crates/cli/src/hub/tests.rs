//! Which node becomes what, and what of it is left.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{flows, translate};
use crate::registry;

fn of(flow: &Value) -> Result<super::Translated, String> {
    let flows = flows(&flow.to_string())?;
    translate(&flows[0], &registry::connectors(), &BTreeMap::new())
}

fn node(id: &str, function: &str) -> Value {
    json!({ "id": id, "componentId": "5ca5", "function": function })
}

#[test]
fn steps_stand_behind_what_they_followed() {
    let edge = |source: &str, target: &str| json!({ "source": source, "target": target });
    let nodes =
        ["d", "b", "c", "e"].map(|id| node(id, "insertReceiver")).into_iter().collect::<Vec<_>>();
    let nodes = [vec![node("trigger", "getReceivers")], nodes].concat();
    let edges = [
        edge("trigger", "b"),
        edge("trigger", "c"),
        edge("b", "d"),
        edge("c", "d"),
        edge("d", "e"),
    ];
    let made =
        of(&json!({ "name": "Æ Flow 7", "graph": { "nodes": nodes, "edges": edges } })).unwrap();
    assert_eq!(made.name, "flow-7");
    let order: Vec<&str> = made
        .text
        .lines()
        .filter_map(|line| {
            let line = line.trim_start_matches([' ', '-']);
            ["id: ", "after: "].iter().find_map(|key| line.strip_prefix(key))
        })
        .collect();
    assert_eq!(order, ["b", "c", "trigger", "d", "[b, c]", "e"]);
}

#[test]
fn what_an_action_does_otherwise_here_is_told() {
    let notes = |function: &str, fields: Value| {
        let mut step = node("b", function);
        step["fields"] = fields;
        let nodes = [node("a", "getReceivers"), step];
        let edges = [json!({ "source": "a", "target": "b" })];
        let made = of(&json!({ "name": "f", "graph": { "nodes": nodes, "edges": edges } }));
        let made = made.unwrap();
        let told = made.notes.into_iter().filter(|note| note.at == "b").map(|note| note.text);
        (told.collect::<Vec<_>>().join("\n"), made.text)
    };
    let (told, text) = notes("upsertReceiver", json!({ "groupId": 1, "deletes": true }));
    assert!(told.contains("`deleteBy: recordUid`"), "{told}");
    assert!(text.contains("deletes: true"), "{text}");
    let (told, _) = notes("insertReceiver", json!({ "groupId": 1 }));
    assert!(told.contains("created receivers alone") && !told.contains("deleteBy"), "{told}");
    let (told, _) = notes("upsertReceiver", json!({ "groupId": 1 }));
    assert!(!told.contains("created receivers alone") && !told.contains("deleteBy"), "{told}");
}

#[test]
fn a_graph_that_is_no_flow_is_refused_with_its_place() {
    let two = json!({ "nodes": [node("a", "x"), node("b", "y")] });
    let edges = json!([{ "source": "a", "target": "b" }, { "source": "b", "target": "a" }]);
    for (document, problem) in [
        (json!({}), "no `graph`"),
        (json!({ "graph": {} }), "has no nodes"),
        (json!({ "graph": { "nodes": [{ "id": "a" }] } }), "graph.nodes[0] has no `function`"),
        (json!({ "graph": two }), "2 nodes have none before them: `a`, `b`"),
        (json!({ "graph": { "nodes": two["nodes"], "edges": edges } }), "goes round"),
        (
            json!({ "graph": { "nodes": two["nodes"], "edges": [{ "source": "a", "target": "c" }] } }),
            "graph.edges[0].target: there is no node `c`",
        ),
    ] {
        let error = of(&document).unwrap_err();
        assert!(error.contains(problem), "{document}: {error}");
    }
    assert!(flows("[]").unwrap_err().contains("no flow in it"));
    assert!(flows("{").unwrap_err().contains("not JSON"));
}
