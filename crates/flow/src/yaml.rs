//! YAML as a tree in which everything knows its place, read within budgets.
//!
//! The tree is built from the parser's events instead of by deserialising: that would stop at
//! the first mistake, and forget whether an expression stands in a block or in quotes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Tag};

use crate::finding::code;
use crate::source::Source;
use crate::syntax::yaml::{Complaint, explain};

/// The most that a file may hold: generous for people, small for machines.
const MAX_BYTES: usize = 1 << 20;
const MAX_NODES: usize = 50_000;
const MAX_DEPTH: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
    nodes: usize,
    depth: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn new(kind: Kind, span: Range<usize>) -> Self {
        let (nodes, depth) = match &kind {
            Kind::List(items) => size(items.iter()),
            Kind::Map(entries) => size(entries.iter().map(|entry| &entry.value)),
            _ => (1, 1),
        };
        Self { kind, span, nodes, depth }
    }

    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        if let Kind::Map(entries) = &self.kind { Some(entries) } else { None }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// The value of a key; one that is null counts as left out.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let node = &self.entry(key)?.value;
        (!matches!(node.kind, Kind::Null)).then_some(node)
    }

    pub(crate) fn items(&self) -> Option<&[Self]> {
        if let Kind::List(items) = &self.kind { Some(items) } else { None }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// What a person would call it.
    pub(crate) const fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "an object",
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => {
                let fields = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }
}

fn size<'a>(children: impl Iterator<Item = &'a Node>) -> (usize, usize) {
    children.fold((1, 1), |(nodes, depth), child| (nodes + child.nodes, depth.max(child.depth + 1)))
}

/// Reads one document; `None` after an error that leaves nothing to look at.
pub(crate) fn read(source: &mut Source<'_>) -> Option<Node> {
    let text = source.text();
    if text.len() > MAX_BYTES {
        let message = format!("the file is larger than {} KiB", MAX_BYTES / 1024);
        source.error(code::TOO_LARGE, 0..0, message, None);
        return None;
    }
    let mut reader = Reader { source, open: vec![], anchors: HashMap::new(), nodes: 0, root: None };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                let start = span.start.byte_offset().unwrap_or_default();
                let end = span.end.byte_offset().unwrap_or_default();
                if reader.event(event, start..end.max(start)).is_err() {
                    return None;
                }
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or_default();
                let Complaint { span, message, hint } = explain(&error.info(), text, at);
                reader.source.error(code::SYNTAX, span, message, hint);
                return None;
            }
        }
    }
    let root = reader.root.take();
    if root.is_none() {
        let hint = "a flow has a name (`flow`), a `trigger` and `steps`".to_owned();
        source.error(code::SYNTAX, 0..0, "the file is empty", hint);
    }
    root
}

/// Reading stops: the budget is spent, or there is a second document.
struct Stop;

/// A list or map whose end has not come yet.
struct Open {
    start: usize,
    anchor: usize,
    children: Children,
}

enum Children {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, known: HashSet<String>, key: Option<(String, Range<usize>)> },
}

struct Reader<'s, 'a> {
    source: &'s mut Source<'a>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

impl Reader<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = self.scalar(text, style, tag.as_deref(), &span);
                self.close(Node::new(kind, trimmed(self.source.text(), style, span)), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.start(span, anchor, tag.as_deref(), Children::List(vec![]))
            }
            Event::MappingStart(_, anchor, tag) => {
                let children = Children::Map { entries: vec![], known: HashSet::new(), key: None };
                self.start(span, anchor, tag.as_deref(), children)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let kind = match open.children {
                    Children::List(items) => Kind::List(items),
                    Children::Map { entries, .. } => Kind::Map(entries),
                };
                // A block ends where the next thing begins: leave the blank space out.
                let text = self.source.text();
                let content = text.get(open.start..span.end).unwrap_or("").trim_end();
                self.close(Node::new(kind, open.start..open.start + content.len()), open.anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    let message = "an alias inside its own anchor has no end";
                    self.source.error(code::TOO_LARGE, span, message, None);
                    return Err(Stop);
                };
                if node.depth + self.open.len() > MAX_DEPTH || node.nodes + self.nodes > MAX_NODES {
                    return Err(self.too_large(span));
                }
                let node = Node { span, ..node.clone() };
                self.nodes += node.nodes - 1;
                self.close(node, 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                let message = "one file holds one document";
                let hint = "put what follows into a file of its own".to_owned();
                self.source.error(code::SYNTAX, span, message, hint);
                Err(Stop)
            }
            _ => Ok(()),
        }
    }

    fn start(
        &mut self,
        span: Range<usize>,
        anchor: usize,
        tag: Option<&Tag>,
        children: Children,
    ) -> Result<(), Stop> {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            self.source.error(code::SYNTAX, span.clone(), "tags are not used here", None);
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_large(span));
        }
        self.open.push(Open { start: span.start, anchor, children });
        Ok(())
    }

    fn too_large(&mut self, span: Range<usize>) -> Stop {
        let message = format!(
            "more than {MAX_NODES} values (aliases counted in full) or {MAX_DEPTH} levels of nesting"
        );
        self.source.error(code::TOO_LARGE, span, message, None);
        Stop
    }

    /// Puts a finished node where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.too_large(node.span));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.children) {
            None => self.root = Some(node),
            Some(Children::List(items)) => items.push(node),
            Some(Children::Map { entries, known, key }) => match key.take() {
                None => {
                    let text = key_text(&node);
                    if text.is_none() {
                        let message = format!("a key is plain text, not {}", node.type_name());
                        self.source.error(code::SYNTAX, node.span.clone(), message, None);
                    }
                    *key = Some((text.unwrap_or_default(), node.span));
                }
                Some((key, key_span)) => {
                    if !known.insert(key.clone()) {
                        let first = entries.iter().find(|entry| entry.key == key);
                        let first = first.map_or(0..0, |entry| entry.key_span.clone());
                        let line = self.source.place(first).line;
                        let message = format!("`{key}` is already there, in line {line}");
                        let hint = "keep one of the two".to_owned();
                        self.source.error(code::DUPLICATE_KEY, key_span, message, hint);
                    } else {
                        entries.push(Entry { key, key_span, value: node });
                    }
                }
            },
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Range<usize>,
    ) -> Kind {
        match tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix())) {
            Some((true, "str")) => Kind::Text(text.into_owned()),
            Some((false, suffix)) if suffix != "!" => {
                self.source.error(code::SYNTAX, span.clone(), "tags are not used here", None);
                Kind::Text(text.into_owned())
            }
            _ if style == ScalarStyle::Plain => plain(text),
            _ => Kind::Text(text.into_owned()),
        }
    }
}

/// The span of a block scalar without the line breaks at its end.
fn trimmed(text: &str, style: ScalarStyle, span: Range<usize>) -> Range<usize> {
    match style {
        ScalarStyle::Literal | ScalarStyle::Folded => {
            let content = text.get(span.clone()).unwrap_or("").trim_end();
            span.start..span.start + content.len()
        }
        _ => span,
    }
}

fn key_text(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Text(text) => Some(text.clone()),
        Kind::Bool(value) => Some(value.to_string()),
        Kind::Number(number) => Some(number.to_string()),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// What a scalar without quotes means: YAML 1.2's core schema, so `no` and `on` are text.
///
/// Whole numbers beyond 64 bits and numbers that are not finite stay text: digits are not lost.
fn plain(text: Cow<'_, str>) -> Kind {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    number(&text).map_or_else(|| Kind::Text(text.into_owned()), Kind::Number)
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !unsigned.contains(|c: char| c.is_ascii_digit())
        || !unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'))
    {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let text = text.strip_prefix('+').unwrap_or(text);
        let signed = text.parse::<i64>().map(Number::from);
        return signed.or_else(|_| text.parse::<u64>().map(Number::from)).ok();
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}
