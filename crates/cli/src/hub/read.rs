//! Flows as the flow repository of Open Integration Hub gives them.
//!
//! Read from its API's schema: a name, `graph.nodes` with `id`, `componentId`, `function`,
//! `credentials_id`, `fields` and `nodeSettings`, `graph.edges` with `source` and `target`, and
//! `cron`. One flow, an answer of the API with it or several as `data`, or a list of flows.

use serde_json::{Map, Value};

/// A flow.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) cron: Option<String>,
    /// The last status; `None` if it has none.
    pub(crate) status: Option<String>,
    pub(crate) has_webhooks: bool,
    /// Keys beside these that somebody gave a value.
    pub(crate) others: Vec<String>,
    pub(crate) nodes: Vec<Node>,
    edges: Vec<(String, String)>,
    /// Whether an edge has a condition or a mapper.
    pub(crate) has_edge_settings: bool,
}

/// A use of a component's function.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) component: Option<String>,
    pub(crate) function: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) credentials: Option<String>,
    pub(crate) fields: Map<String, Value>,
    pub(crate) settings: Map<String, Value>,
}

impl Flow {
    /// The nodes before a node, each once.
    pub(crate) fn sources(&self, id: &str) -> Vec<&str> {
        let mut sources: Vec<&str> = vec![];
        for (source, target) in &self.edges {
            if target == id && !sources.contains(&source.as_str()) {
                sources.push(source);
            }
        }
        sources
    }
}

/// Reads the flows of a document; the error says what is wrong with which part.
pub(crate) fn flows(text: &str) -> Result<Vec<Flow>, String> {
    let document: Value =
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let found = match document {
        Value::Object(mut object) if !object.contains_key("graph") => match object.remove("data") {
            Some(Value::Array(flows)) => flows,
            Some(flow @ Value::Object(_)) => vec![flow],
            _ => return Err("there is no `graph`: it is no flow of Open Integration Hub".into()),
        },
        Value::Array(flows) => flows,
        flow => vec![flow],
    };
    if found.is_empty() {
        return Err("there is no flow in it".to_owned());
    }
    found.iter().map(flow).collect()
}

fn flow(value: &Value) -> Result<Flow, String> {
    let text = |key: &str| text(value, key);
    let graph = value.get("graph").and_then(Value::as_object);
    let graph =
        graph.ok_or("there is no `graph` with `nodes`: it is no flow of Open Integration Hub")?;
    let list = |key: &str| graph.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let nodes = list("nodes")
        .iter()
        .enumerate()
        .map(|(at, it)| node(at, it))
        .collect::<Result<Vec<Node>, String>>()?;
    let mut edges = vec![];
    let mut has_edge_settings = false;
    for (at, edge) in list("edges").iter().enumerate() {
        let end = |key: &str| {
            let id = self::text(edge, key);
            let id = id.ok_or_else(|| format!("graph.edges[{at}] has no `{key}`"))?;
            match nodes.iter().any(|node| node.id == id) {
                true => Ok(id),
                false => Err(format!("graph.edges[{at}].{key}: there is no node `{id}`")),
            }
        };
        edges.push((end("source")?, end("target")?));
        has_edge_settings |= edge.get("config").is_some_and(says_something);
    }
    let others = ["owners", "tenant", "fromTemplate"];
    let others = others.into_iter().filter(|key| value.get(key).is_some_and(says_something));
    let webhooks = value.pointer("/flowSettings/webhooks");
    Ok(Flow {
        id: text("id").or_else(|| text("_id")),
        name: text("name"),
        description: text("description"),
        cron: text("cron"),
        status: text("status"),
        has_webhooks: webhooks.is_some_and(says_something),
        others: others.map(str::to_owned).collect(),
        nodes,
        edges,
        has_edge_settings,
    })
}

fn node(at: usize, value: &Value) -> Result<Node, String> {
    let needed =
        |key: &str| text(value, key).ok_or_else(|| format!("graph.nodes[{at}] has no `{key}`"));
    let object = |key: &str| value.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(Node {
        id: needed("id")?,
        function: needed("function")?,
        component: text(value, "componentId"),
        name: text(value, "name"),
        description: text(value, "description"),
        credentials: text(value, "credentials_id"),
        fields: object("fields"),
        settings: object("nodeSettings"),
    })
}

/// A text that is not empty; ids of the database may come as `{ "$oid": … }`.
fn text(value: &Value, key: &str) -> Option<String> {
    let value = value.get(key)?;
    let text = value.as_str().or_else(|| value.get("$oid")?.as_str())?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether somebody set it.
pub(super) fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => items.iter().any(says_something),
        Value::Object(fields) => fields.values().any(says_something),
        _ => true,
    }
}
