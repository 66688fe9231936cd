//! A flow file as read: every value with its place, nothing checked yet.
//!
//! These types are also the schema that editors show: their comments are the documentation of
//! the flow file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use mapping::Engine;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::duration;
use crate::flow::OnReject;
use crate::yaml::{Kind, Node};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A flow: a trigger finds changed records in one system, steps write them to others.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Flow", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FlowFile {
    /// The flow's name: small letters, digits and hyphens, at most 100. Its state belongs to this
    /// name: a flow that is renamed begins anew.
    #[schemars(required, regex(pattern = "^[a-z0-9][a-z0-9-]*$"), example = &"newsletter-to-clevertap")]
    pub(crate) flow: Option<Spanned<String>>,
    /// What the flow is for, in a sentence.
    pub(crate) about: Option<Spanned<String>>,
    /// What finds the records, and when.
    #[schemars(required)]
    pub(crate) trigger: Option<TriggerFile>,
    /// What is done with each message: each step behind those that its `after` names, by default
    /// behind the one above.
    #[schemars(required, length(min = 1))]
    pub(crate) steps: Option<Vec<StepFile>>,
    /// What evaluates the flow's own expressions; goes before what `towpath.yaml` says.
    pub(crate) mapping: Option<MappingFile>,
    /// How many messages of a page may be refused before the flow stops instead: a broken mapping
    /// must not turn everything into dead letters.
    pub(crate) max_rejects: Option<MaxRejectsFile>,
    /// Whose change wins where another flow goes the opposite way between the same accounts, one
    /// receiver, contact or deal was changed on both sides before either flow knew of the other
    /// side's change, and the systems do not tell which change is newer: that of the trigger's
    /// system, `source`, or that of the steps' system, `target`. The newer one wins otherwise. Of two
    /// flows, say `source` in one and `target` in the other.
    #[schemars(with = "Option<PreferFile>", extend("default" = "source"))]
    pub(crate) prefer: Option<Spanned<String>>,
    /// How many pages are fetched, mapped and delivered at once. Pages are committed in their
    /// order all the same; after a crash at most so many are sent again.
    #[schemars(range(min = 1, max = 64), extend("default" = 4))]
    pub(crate) window: Option<Spanned<u64>>,
    /// Examples that `towpath test` runs without a network: what is given, and what each step would
    /// send.
    pub(crate) tests: Option<Vec<TestFile>>,
}

/// A side of the flow.
#[derive(JsonSchema)]
#[schemars(rename = "Prefer", rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
enum PreferFile {
    /// What the trigger finds.
    Source,
    /// What the steps' system has.
    Target,
}

/// How the expressions that flow files write, `when` and `customMapping`, are evaluated. The
/// connectors' default mappings are always evaluated by jlens.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Mapping", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MappingFile {
    /// Which engine evaluates them.
    #[schemars(with = "Option<EngineFile>", extend("default" = "jlens"))]
    pub(crate) engine: Option<Spanned<Engine>>,
}

/// What evaluates expressions.
#[derive(JsonSchema)]
#[schemars(rename = "Engine", rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its schema is used")]
enum EngineFile {
    /// The whole language; every limit is kept.
    Jlens,
    /// A part of the language, five times slower, and it loses memory with every record: for who
    /// needs exactly this engine.
    JsonataRs,
}

impl MappingFile {
    pub(crate) fn read(node: &Node) -> Self {
        let engine = text(node, "engine")
            .and_then(|name| Some(Spanned { value: Engine::named(&name.value)?, span: name.span }));
        Self { engine }
    }
}

/// What finds the records, and when.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Trigger", rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("dependentRequired" = { "timezone": ["cron"] }))]
#[schemars(extend("dependentSchemas" = { "cron": { "properties": { "every": false } } }))]
pub(crate) struct TriggerFile {
    /// The connector and its trigger: `connector.trigger`. `towpath connectors` lists them.
    #[schemars(required, rename = "use")]
    pub(crate) uses: Option<Spanned<String>>,
    /// The name of an account in `towpath.yaml`. The triggers of `towpath` itself have none.
    #[schemars(required)]
    pub(crate) account: Option<Spanned<String>>,
    /// How often to poll, a whole number and `s`, `m`, `h` or `d`: so long after a run began the
    /// next one does. Without `every` and `cron` the flow runs only when asked to, by
    /// `towpath run --once`.
    #[schemars(regex(pattern = duration::PATTERN), example = &"5m")]
    pub(crate) every: Option<Spanned<String>>,
    /// When to poll, instead of `every`: minute, hour, day, month and weekday, in quotes. At a
    /// change to daylight saving, fixed times that are left out run once right after it, and those
    /// that come twice run the first time; intervals (minute or hour begins with `*`) go on.
    #[schemars(example = &"*/5 * * * *", example = &"30 6 * * MON-FRI")]
    pub(crate) cron: Option<Spanned<String>>,
    /// The time zone of `cron`, by its IANA name.
    #[schemars(example = &"Europe/Berlin", extend("default" = "UTC"))]
    pub(crate) timezone: Option<Spanned<String>>,
    /// How far before the last known change a poll looks, for changes that became visible late: a
    /// whole number and `s`, `m`, `h` or `d`, `0s` for not at all. What is found again unchanged is
    /// not sent again. A trigger whose system tells late looks further without it, as its page says.
    #[schemars(example = &"5m", regex(pattern = duration::PATTERN), extend("default" = "60s"))]
    pub(crate) overlap: Option<Spanned<String>>,
    /// How often everything is read again and compared, for changes that the system dates with no
    /// timestamp: a whole number and `s`, `m`, `h` or `d`, or `off` for never. Only for triggers
    /// whose system hides some changes.
    #[schemars(example = &"6h", example = &"off", regex(pattern = r"^(off|[0-9]+ *[smhd])$"), extend("default" = "1h"))]
    pub(crate) sweep: Option<Spanned<String>>,
    /// Whether a record that is gone from the system becomes a message too, one whose metadata has
    /// `deleted: true` and whose data is `{}`: for each record that was sent before and that was
    /// found nowhere two times in a row when everything was read in one run, from its beginning to
    /// its end and in every partition. Once is not enough, since a list that moves up while it is
    /// read hides a record; so the message comes with the second `sweep` after the record is gone,
    /// or where every poll reads everything with the second poll. Such messages come only to steps
    /// with `for: deletes` or `for: all`. Only for triggers that read everything.
    #[schemars(extend("default" = false))]
    pub(crate) emit_deletes: Option<Spanned<bool>>,
    /// The share of the known records that may be gone at once, from 0 to 1: 0.1 is a tenth. Ten
    /// may always be gone. With more, found nowhere for the first time or the second, no record
    /// counts as gone and the run fails: a system that suddenly shows almost nothing must not
    /// delete everything elsewhere.
    #[schemars(range(min = 0, max = 1), extend("default" = 0.1))]
    pub(crate) max_deletes: Option<Spanned<f64>>,
    /// The trigger's own settings, and how its records become messages: by default by the
    /// connector's mapping, otherwise by `customMapping`, or not at all with `skipTransformation`.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub(crate) fields: Option<Node>,
    /// How calls that failed are tried again: no answer, 429, 5xx.
    pub(crate) retry: Option<RetryFile>,
    #[schemars(skip)]
    pub(crate) span: Range<usize>,
}

/// One use of an action.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Step", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StepFile {
    /// The step's id; later expressions see its result as `$steps.ID`.
    #[schemars(required, regex(pattern = "^[a-z][A-Za-z0-9_]*$"), example = &"profiles")]
    pub(crate) id: Option<Spanned<String>>,
    /// The connector and its action: `connector.action`.
    #[schemars(required, rename = "use")]
    pub(crate) uses: Option<Spanned<String>>,
    /// The name of an account in `towpath.yaml`.
    #[schemars(required)]
    pub(crate) account: Option<Spanned<String>>,
    /// What the step waits for: `trigger`, a step's id, or several; by default the step above. With
    /// several, a message comes here when all of them are done with it. Behind a step that filtered
    /// it out or refused it, nothing runs.
    pub(crate) after: Option<After>,
    /// Which messages the step takes: of records that are new or changed, of records that are gone
    /// (`emitDeletes`), or both. The others are filtered out.
    #[schemars(rename = "for", with = "Option<TakesFile>", extend("default" = "changes"))]
    pub(crate) takes: Option<Spanned<String>>,
    /// A JSONata condition on the message; where it is not true, the message is filtered out: it is
    /// settled, and no step behind this one gets it.
    #[schemars(example = &"data.contactData[type = \"email\"]")]
    pub(crate) when: Option<Spanned<String>>,
    /// The action's own settings, and how messages become its input: by default by the connector's
    /// mapping, otherwise by `customMapping`, or not at all with `skipTransformation`.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub(crate) fields: Option<Node>,
    /// The largest batch of one call, in messages; at most what the action takes, which is the
    /// default.
    #[schemars(range(min = 1))]
    pub(crate) batch: Option<Spanned<u64>>,
    /// How many batches of a page are under way at once. By default the account's limits decide.
    #[schemars(range(min = 1))]
    pub(crate) concurrency: Option<Spanned<u64>>,
    /// How calls that failed are tried again: no answer, 429, 5xx. What the system refuses is not.
    pub(crate) retry: Option<RetryFile>,
    /// What becomes of a message that was sent, and nobody knows whether it arrived, by an action
    /// that must not be repeated: `hold` makes it a dead letter, and somebody looks; `resend` sends
    /// it again, so that it may arrive twice, and before anything newer of its record. Actions that
    /// may be repeated send it again anyway.
    #[schemars(with = "Option<InDoubtFile>", extend("default" = "hold"))]
    pub(crate) in_doubt: Option<Spanned<String>>,
    /// What becomes of a message that the step refuses: that its mapping cannot be made of, that the
    /// system refuses, or that exhausted its tries.
    #[schemars(with = "Option<OnRejectFile>", extend("default" = "deadLetter"))]
    pub(crate) on_reject: Option<Spanned<OnReject>>,
    #[schemars(skip)]
    pub(crate) span: Range<usize>,
}

/// What becomes of a message of which nobody knows whether it arrived.
#[derive(JsonSchema)]
#[schemars(rename = "InDoubt", rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
enum InDoubtFile {
    /// It becomes a dead letter.
    Hold,
    /// It is sent again.
    Resend,
}

/// Which messages a step takes.
#[derive(JsonSchema)]
#[schemars(rename = "Takes", rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
enum TakesFile {
    /// Those of records that are new or changed.
    Changes,
    /// Those of records that are gone.
    Deletes,
    /// Both.
    All,
}

/// What a step waits for.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "the variants shape the schema; reading makes one list of both")]
pub(crate) enum After {
    /// `trigger` or one step.
    One(Spanned<String>),
    /// Several steps.
    Several(Vec<Spanned<String>>),
}

/// How failed calls are tried again. A wait that the system asks for goes before a shorter one; one
/// of more than five minutes is left to the schedule.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Retry", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RetryFile {
    /// How often a call is made, the first time included, before its page stops. What a circuit
    /// breaker holds back was not sent, and does not count.
    #[schemars(range(min = 1, max = 100), extend("default" = 5))]
    pub(crate) attempts: Option<Spanned<u64>>,
    /// How long all tries of a call may take together, their waits included: none begins later. A
    /// try under way is not cut short.
    #[schemars(regex(pattern = duration::PATTERN), extend("default" = "10m"))]
    pub(crate) time: Option<Spanned<String>>,
    /// The wait after the first failure; it doubles from there.
    #[schemars(regex(pattern = duration::PATTERN), extend("default" = "1s"))]
    pub(crate) base: Option<Spanned<String>>,
    /// The longest wait between two tries, unless the system asks for a longer one.
    #[schemars(regex(pattern = duration::PATTERN), extend("default" = "60s"))]
    pub(crate) cap: Option<Spanned<String>>,
    /// How much longer a wait may be by chance, as a share of it, so that callers who failed
    /// together do not come back together: 0 is not at all, 1 up to twice as long.
    #[schemars(range(min = 0, max = 1), extend("default" = 1.0))]
    pub(crate) jitter: Option<Spanned<f64>>,
}

/// What becomes of a message that a step refuses.
#[derive(JsonSchema)]
#[schemars(rename = "OnReject", rename_all = "camelCase")]
#[allow(dead_code, reason = "only its schema is used")]
enum OnRejectFile {
    /// It becomes a dead letter with its reason, and the flow goes on.
    DeadLetter,
    /// The flow stops before it: nothing of its page is committed, and the run's error names step
    /// and code. The flow waits for a change of its file, and tries again once an hour.
    Stop,
}

/// How many messages of a page may be refused: the share, and always so many.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "MaxRejects", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MaxRejectsFile {
    /// The share of the page's messages, from 0 to 1: 0.2 is a fifth.
    #[schemars(range(min = 0, max = 1), extend("default" = 0.2))]
    pub(crate) share: Option<Spanned<f64>>,
    /// So many of a page may always be refused, however small the page is.
    #[schemars(extend("default" = 20))]
    pub(crate) at_least: Option<Spanned<u64>>,
}

/// An example: a message, and what each step would send for it.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Test", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TestFile {
    /// What the example shows; without a name it is called by its line.
    pub(crate) name: Option<Spanned<String>>,
    /// The trigger's message, or its raw record, which the trigger's mapping is tried on first.
    #[schemars(required, with = "Given")]
    pub(crate) given: Option<Node>,
    /// By step id the inputs that the step would send, in full; `[]` where the message is
    /// filtered out.
    #[schemars(required, with = "BTreeMap<String, Vec<Value>>")]
    pub(crate) expect: Option<Node>,
    #[schemars(skip)]
    pub(crate) span: Range<usize>,
}

/// What an example starts from: `data`, or `record`.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Given {
    /// The message's metadata, such as `recordUid`.
    metadata: Option<Map<String, Value>>,
    /// The message's data: what the trigger's mapping made of the record.
    data: Option<Value>,
    /// The record as the system gives it.
    record: Option<Map<String, Value>>,
    /// The results of steps, by their ids: what expressions of later steps see as `$steps`.
    steps: Option<Map<String, Value>>,
}

impl FlowFile {
    /// Reads what has the right type and leaves out the rest.
    pub(crate) fn read(root: &Node) -> Self {
        Self {
            flow: text(root, "flow"),
            about: text(root, "about"),
            trigger: root.get("trigger").map(TriggerFile::read),
            steps: list(root, "steps").map(|steps| steps.iter().map(StepFile::read).collect()),
            mapping: root.get("mapping").map(MappingFile::read),
            max_rejects: root.get("maxRejects").map(|node| MaxRejectsFile {
                share: number(node, "share", serde_json::Number::as_f64),
                at_least: number(node, "atLeast", whole),
            }),
            prefer: text(root, "prefer"),
            window: number(root, "window", whole),
            tests: list(root, "tests").map(|tests| tests.iter().map(TestFile::read).collect()),
        }
    }
}

impl TriggerFile {
    fn read(node: &Node) -> Self {
        Self {
            uses: text(node, "use"),
            account: text(node, "account"),
            every: text(node, "every"),
            cron: text(node, "cron"),
            timezone: text(node, "timezone"),
            overlap: text(node, "overlap"),
            sweep: text(node, "sweep"),
            emit_deletes: flag(node, "emitDeletes"),
            max_deletes: number(node, "maxDeletes", serde_json::Number::as_f64),
            fields: node.get("fields").cloned(),
            retry: node.get("retry").map(RetryFile::read),
            span: node.span.clone(),
        }
    }
}

impl RetryFile {
    fn read(node: &Node) -> Self {
        Self {
            attempts: number(node, "attempts", whole),
            time: text(node, "time"),
            base: text(node, "base"),
            cap: text(node, "cap"),
            jitter: number(node, "jitter", serde_json::Number::as_f64),
        }
    }
}

impl StepFile {
    fn read(node: &Node) -> Self {
        Self {
            id: text(node, "id"),
            uses: text(node, "use"),
            account: text(node, "account"),
            after: node.get("after").and_then(|after| match &after.kind {
                Kind::Text(_) => spanned(after).map(After::One),
                Kind::List(items) => {
                    Some(After::Several(items.iter().filter_map(spanned).collect()))
                }
                _ => None,
            }),
            takes: text(node, "for"),
            when: text(node, "when"),
            fields: node.get("fields").cloned(),
            batch: number(node, "batch", whole),
            concurrency: number(node, "concurrency", whole),
            retry: node.get("retry").map(RetryFile::read),
            on_reject: text(node, "onReject").and_then(|name| {
                Some(Spanned { value: OnReject::named(&name.value)?, span: name.span })
            }),
            in_doubt: text(node, "inDoubt"),
            span: node.span.clone(),
        }
    }
}

impl TestFile {
    fn read(node: &Node) -> Self {
        Self {
            name: text(node, "name"),
            given: node.get("given").cloned(),
            expect: node.get("expect").cloned(),
            span: node.span.clone(),
        }
    }
}

fn spanned(node: &Node) -> Option<Spanned<String>> {
    Some(Spanned { value: node.text()?.to_owned(), span: node.span.clone() })
}

fn text(node: &Node, key: &str) -> Option<Spanned<String>> {
    node.get(key).and_then(spanned)
}

fn flag(node: &Node, key: &str) -> Option<Spanned<bool>> {
    let node = node.get(key)?;
    let Kind::Bool(value) = &node.kind else { return None };
    Some(Spanned { value: *value, span: node.span.clone() })
}

fn list<'a>(node: &'a Node, key: &str) -> Option<&'a [Node]> {
    node.get(key).and_then(Node::items)
}

fn number<T>(
    node: &Node,
    key: &str,
    convert: fn(&serde_json::Number) -> Option<T>,
) -> Option<Spanned<T>> {
    let node = node.get(key)?;
    let Kind::Number(number) = &node.kind else { return None };
    Some(Spanned { value: convert(number)?, span: node.span.clone() })
}

/// A whole number, also where it is written `4.0` or `4e0`.
fn whole(number: &serde_json::Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=1e9).contains(n))?;
        // In this range every whole float is the same whole number.
        Some(float as u64)
    })
}
