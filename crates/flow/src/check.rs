//! From a flow file to a flow, or to everything that is wrong with it.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use connector::{ActionDescriptor, Changes, Connector, TriggerDescriptor};
use mapping::Engine;
use serde_json::{Value, json};

use crate::config::Config;
use crate::duration;
use crate::fields::{self, Described};
use crate::file::{FlowFile, MaxRejectsFile, Spanned, StepFile, TriggerFile};
use crate::finding::{Finding, code};
use crate::graph::{self, Graph};
use crate::source::Source;
use crate::yaml::Node;
use crate::{Flow, InDoubt, MaxRejects, Prefer, Schedule, Step, Takes, Trigger};
use crate::{across, deletes, examples, schedule, secret, shape, suggest, yaml};

/// What a flow file is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The connectors that there are.
    pub connectors: &'a [Connector],
    /// The configuration; without one, accounts are not looked up.
    pub config: Option<&'a Config>,
}

/// How often a flow that is told of changes looks for itself, if nothing is said.
const UNTOLD: Duration = Duration::from_secs(3600);

/// The schema of a flow file, made once.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(FlowFile).to_value());

/// The same for a flow whose trigger has no account.
static ACCOUNTLESS: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = SCHEMA.clone();
    let trigger = schema.pointer_mut("/properties/trigger").and_then(Value::as_object_mut);
    if let Some(trigger) = trigger {
        if let Some(Value::Array(required)) = trigger.get_mut("required") {
            required.retain(|key| key != "account");
        }
        if let Some(Value::Object(properties)) = trigger.get_mut("properties") {
            properties.remove("account");
        }
    }
    schema
});

/// Whether a flow file's trigger is one of a connector without accounts.
fn has_accountless_trigger(root: &Node, context: &Context<'_>) -> bool {
    let uses = root.get("trigger").and_then(|trigger| trigger.get("use")).and_then(Node::text);
    let name = uses.and_then(|uses| uses.split('.').next());
    let known = context.connectors.iter().find(|known| Some(known.name()) == name);
    known.is_some_and(|known| !known.has_accounts())
}

/// Checks a flow file called `label`: all findings in the order of the file, and the flow if
/// none of them is an error.
///
/// Nothing but the text is looked at: no network, no store, no environment.
pub fn check(label: &str, text: &str, context: &Context<'_>) -> (Option<Flow>, Vec<Finding>) {
    let mut source = Source::new(label, text);
    let flow = yaml::read(&mut source).and_then(|root| {
        let schema = if has_accountless_trigger(&root, context) { &ACCOUNTLESS } else { &SCHEMA };
        shape::report(&mut source, &root, schema, "a flow", shape::KEYS);
        fields::misplaced(&mut source, &root, context.connectors);
        for entry in root.entries().unwrap_or_default() {
            // Examples are made up, and may well hold a field called `token`.
            if entry.key != "tests" {
                secret::find(&mut source, &entry.value);
            }
        }
        let file = FlowFile::read(&root);
        let chosen = file.mapping.as_ref().and_then(|mapping| mapping.engine.as_ref());
        if let Some(chosen) = chosen {
            fields::doubtful_engine(&mut source, chosen);
        }
        let by_default = context.config.map(|config| config.engine).unwrap_or_default();
        let engine = chosen.map_or(by_default, |chosen| chosen.value);
        Checker { source: &mut source, context, engine }.flow(&file)
    });
    let flow = flow.filter(|_| source.errors() == 0);
    (flow, source.into_findings())
}

/// Whether a flow may be called so: small letters, digits and hyphens, at most 100, a letter or
/// digit first.
pub fn is_name(name: &str) -> bool {
    name.starts_with(fits_name)
        && name.chars().all(|c| fits_name(c) || c == '-')
        && name.len() <= 100
}

const fn fits_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

pub(crate) struct Checker<'s, 't, 'a> {
    pub(crate) source: &'s mut Source<'t>,
    context: &'s Context<'a>,
    /// What evaluates the flow's own expressions.
    engine: Engine,
}

impl<'a> Checker<'_, '_, 'a> {
    fn flow(&mut self, file: &FlowFile) -> Option<Flow> {
        if let Some(name) = &file.flow {
            self.name(name);
        }
        let trigger = file.trigger.as_ref().map(|trigger| self.trigger(trigger));
        let found = trigger.as_ref().and_then(Option::as_ref);
        let steps = self.steps(file, found);
        let tests = examples::check(self.source, file);
        let name = file.flow.as_ref()?.value.clone();
        let vars = self.context.config.map(|config| config.vars.clone()).unwrap_or_default();
        Some(Flow {
            variables: Arc::new(json!({ "name": name, "vars": vars })),
            name,
            about: file.about.as_ref().map(|about| about.value.clone()),
            trigger: trigger??,
            steps: steps?,
            max_rejects: file.max_rejects.as_ref().map(max_rejects).unwrap_or_default(),
            prefer: match file.prefer.as_ref().map(|it| &*it.value) {
                Some("target") => Prefer::Target,
                _ => Prefer::Source,
            },
            window: count(file.window.as_ref()).unwrap_or(const { NonZeroUsize::new(4).unwrap() }),
            tests,
        })
    }

    fn name(&mut self, name: &Spanned<String>) {
        if !is_name(&name.value) {
            let message = "a flow's name has small letters, digits and hyphens, at most 100";
            let letters = name.value.to_lowercase();
            let parts = letters.split(|c: char| !fits_name(c)).filter(|part| !part.is_empty());
            let better: String = parts.collect::<Vec<_>>().join("-").chars().take(100).collect();
            let hint = (!better.is_empty()).then(|| format!("for example `{better}`"));
            self.source.error(code::FLOW_NAME, name.span.clone(), message, hint);
        }
    }

    fn trigger(&mut self, file: &TriggerFile) -> Option<Trigger> {
        let found = file.uses.as_ref().and_then(|uses| self.trigger_used(uses));
        let connector = found.map(|(connector, _)| connector);
        let account = match connector {
            Some(connector) if !connector.has_accounts() => Some(String::new()),
            connector => {
                self.account(file.account.as_ref(), connector);
                file.account.as_ref().map(|account| account.value.clone())
            }
        };
        let every = self.duration(file.every.as_ref(), Duration::from_secs(1));
        let schedule = schedule::check(self.source, file, every);
        let overlap = self.duration(file.overlap.as_ref(), Duration::ZERO);
        let retry = self.retry(file.retry.as_ref());
        let (connector, trigger) = found?;
        if !trigger.kind.is_polled() {
            schedule::refuse(self.source, file, trigger.kind);
        }
        let checked = fields::check(
            self.source,
            file.fields.as_ref(),
            &Described {
                name: format!("{}.{}", connector.name(), trigger.name),
                at: at(file.uses.as_ref(), &file.span),
                mapping: trigger.mapping,
                engine: self.engine,
                schema: trigger.fields,
                configure: trigger.configure,
            },
        )?;
        let custom = file.fields.as_ref().and_then(|fields| fields.get(fields::CUSTOM));
        if let (Some(mapping), Some(custom)) = (checked.mapping.mapping(), custom) {
            graph::check_trigger(self.source, mapping, &custom.span);
        }
        let sweep = match trigger.kind.is_polled() {
            true => self.sweep(file.sweep.as_ref(), checked.configured.changes()),
            false => None,
        };
        // What its system tells needs no tick, and what that does not tell is found by ticks alone.
        let own = checked.configured.heard().map(|_| Schedule::Every(sweep.unwrap_or(UNTOLD)));
        Some(Trigger {
            connector: connector.name().to_owned(),
            name: trigger.name.to_owned(),
            account: account?,
            schedule: schedule.or(own),
            overlap: overlap.unwrap_or_else(|| checked.configured.overlap()),
            sweep,
            deletes: deletes::trigger(self.source, file, checked.configured.changes()),
            fields: checked.fields,
            retry,
            mapping: checked.mapping,
            trigger: checked.configured,
        })
    }

    /// The steps in the order of their graph.
    fn steps(&mut self, file: &FlowFile, trigger: Option<&Trigger>) -> Option<Vec<Step>> {
        let files = file.steps.as_deref().unwrap_or_default();
        let mut known = HashSet::new();
        for id in files.iter().filter_map(|file| file.id.as_ref()) {
            self.id(id, &mut known);
        }
        let graph = Graph::check(self.source, files);
        let mut steps: Vec<Option<Step>> = files.iter().map(|file| self.step(file)).collect();
        graph::check_results(self.source, files, &steps, &graph);
        across::check(self.source, file, trigger, &steps, self.context.connectors);
        deletes::steps(self.source, file, &steps, &graph);
        if trigger.is_some_and(|trigger| trigger.answers().is_some()) {
            self.refuse_what_is_not_repeated(files, &steps);
        }
        let mut ordered = vec![];
        for at in &graph.order {
            let mut step = steps.get_mut(*at)?.take()?;
            step.after = graph.after(*at);
            ordered.push(step);
        }
        Some(ordered)
    }

    /// Refuses steps that must be written down before they are sent: of a request whose sender waits
    /// nothing is written down.
    fn refuse_what_is_not_repeated(&mut self, files: &[StepFile], steps: &[Option<Step>]) {
        for (file, step) in files.iter().zip(steps) {
            let Some(step) = step.as_ref().filter(|step| !step.action.idempotent()) else {
                continue;
            };
            let message = format!(
                "`{}.{}` may not be repeated, and of a request whose sender waits nothing is kept \
                 that would tell whether it was sent",
                step.connector, step.name
            );
            let hint = "take an action that may be repeated, or let nobody wait".to_owned();
            let span = at(file.uses.as_ref(), &file.span);
            self.source.error(code::NOT_REPEATABLE, span, message, hint);
        }
    }

    fn id<'f>(&mut self, id: &'f Spanned<String>, known: &mut HashSet<&'f str>) {
        let good = id.value.starts_with(|c: char| c.is_ascii_lowercase())
            && id.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let span = id.span.clone();
        if !good {
            let message = "a step's id has letters, digits and underscores, a small letter first";
            let better = suggest::camel_case(&id.value);
            let hint = (!better.is_empty()).then(|| format!("for example `{better}`"));
            self.source.error(code::STEP_ID, span, message, hint);
        } else if id.value == graph::TRIGGER {
            let message = "`trigger` stands for the trigger in `after` and cannot be a step's id";
            self.source.error(code::STEP_ID, span, message, None);
        } else if !known.insert(&id.value) {
            let message = format!("there already is a step `{}`", id.value);
            self.source.error(code::DUPLICATE_STEP, span, message, None);
        }
    }

    fn step(&mut self, file: &StepFile) -> Option<Step> {
        let found = file.uses.as_ref().and_then(|uses| self.action_used(uses));
        let connector = found.map(|(connector, _)| connector);
        self.account(file.account.as_ref(), connector);
        let when =
            file.when.as_ref().map(|when| fields::expression(self.source, self.engine, when));
        let retry = self.retry(file.retry.as_ref());
        let (connector, action) = found?;
        let batch = self.batch(file.batch.as_ref(), action);
        let checked = fields::check(
            self.source,
            file.fields.as_ref(),
            &Described {
                name: format!("{}.{}", connector.name(), action.name),
                at: at(file.uses.as_ref(), &file.span),
                mapping: action.mapping,
                engine: self.engine,
                schema: action.fields,
                configure: action.configure,
            },
        )?;
        for warning in checked.configured.warnings() {
            let span = at(file.uses.as_ref(), &file.span);
            self.source.warning(code::FIELDS_DOUBTFUL, span, warning, None);
        }
        Some(Step {
            id: file.id.as_ref()?.value.clone(),
            connector: connector.name().to_owned(),
            name: action.name.to_owned(),
            account: file.account.as_ref()?.value.clone(),
            takes: file.takes.as_ref().and_then(|it| Takes::named(&it.value)).unwrap_or_default(),
            when: match when {
                None => None,
                Some(when) => Some(when?),
            },
            fields: checked.fields,
            mapping: checked.mapping,
            action: checked.configured,
            batch,
            after: vec![],
            concurrency: count(file.concurrency.as_ref()),
            retry,
            in_doubt: match file.in_doubt.as_ref().map(|it| &*it.value) {
                Some("resend") => InDoubt::Resend,
                _ => InDoubt::Hold,
            },
            on_reject: file.on_reject.as_ref().map(|it| it.value).unwrap_or_default(),
        })
    }

    fn batch(&mut self, written: Option<&Spanned<u64>>, action: &ActionDescriptor) -> NonZeroUsize {
        let most = NonZeroUsize::new(action.max_batch).unwrap_or(NonZeroUsize::MIN);
        let Some(batch) = count(written) else { return most };
        if batch > most
            && let Some(written) = written
        {
            let message = format!("`{}` takes at most {most} in a batch", action.name);
            self.source.error(code::NUMBER, written.span.clone(), message, None);
        }
        batch.min(most)
    }

    pub(crate) fn duration(
        &mut self,
        written: Option<&Spanned<String>>,
        least: Duration,
    ) -> Option<Duration> {
        let written = written?;
        let hint = "write a whole number and `s`, `m`, `h` or `d`: `30s`, `5m`, `1h`, `1d`";
        match duration::parse(&written.value) {
            Ok(duration) if duration < least => {
                let message = format!("`{}` is shorter than a second", written.value);
                self.source.error(code::DURATION, written.span.clone(), message, hint.to_owned());
                None
            }
            Ok(duration) => Some(duration),
            Err(problem) => {
                let hint = duration::meant(&written.value)
                    .map_or_else(|| hint.to_owned(), |meant| format!("write `{meant}`"));
                self.source.error(code::DURATION, written.span.clone(), problem, hint);
                None
            }
        }
    }

    fn sweep(&mut self, written: Option<&Spanned<String>>, changes: Changes) -> Option<Duration> {
        let Some(written) = written else {
            return (changes == Changes::Both).then_some(Duration::from_secs(3600));
        };
        if written.value == "off" {
            return None;
        }
        if changes != Changes::Both {
            let message = match changes {
                Changes::Content | Changes::None => "this trigger reads everything at every poll",
                Changes::Appended => "this trigger reads what is added, and no more",
                _ => "this trigger's system dates every change",
            };
            let hint = "leave `sweep` out".to_owned();
            self.source.error(code::SWEEP, written.span.clone(), message, hint);
            return None;
        }
        self.duration(Some(written), Duration::from_secs(1))
    }

    fn account(&mut self, written: Option<&Spanned<String>>, connector: Option<&Connector>) {
        let (Some(written), Some(config)) = (written, self.context.config) else { return };
        let (name, span) = (&written.value, written.span.clone());
        let wanted = connector.map(Connector::name);
        let of = |name: Option<&str>| {
            let accounts = config.accounts.iter();
            let fit =
                accounts.filter(move |(_, known)| name.is_none_or(|name| known.connector == name));
            fit.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
        };
        match (config.accounts.get(name), wanted) {
            (None, wanted) => {
                let message = format!("there is no account `{name}`");
                let hint = suggest::hint(name, of(wanted))
                    .unwrap_or_else(|| format!("add `{name}` to `accounts` in `towpath.yaml`"));
                self.source.error(code::ACCOUNT, span, message, hint);
            }
            (Some(account), Some(wanted)) if account.connector != wanted => {
                let message =
                    format!("account `{name}` is of `{}`, not `{wanted}`", account.connector);
                let hint = suggest::hint(name, of(Some(wanted)));
                self.source.error(code::OTHER_ACCOUNT, span, message, hint);
            }
            _ => {}
        }
    }

    /// Splits `connector.name` and finds the connector.
    fn used<'w>(&mut self, uses: &'w Spanned<String>) -> Option<(&'a Connector, &'w str)> {
        let (connector, name) = uses.value.split_once('.').unwrap_or((&uses.value, ""));
        let mut known = self.context.connectors.iter();
        if let Some(found) = known.find(|known| known.name() == connector) {
            return Some((found, name));
        }
        let message = format!("there is no connector `{connector}`");
        let connectors = self.context.connectors;
        // Who leaves out the connector means the one that has a trigger or action of that name.
        let own = |known: &&Connector| {
            known.find_trigger(connector).is_some() || known.find_action(connector).is_some()
        };
        let hint = match connectors.iter().find(own).filter(|_| name.is_empty()) {
            Some(known) => Some(format!("did you mean `{}.{connector}`?", known.name())),
            None => suggest::hint(connector, connectors.iter().map(Connector::name)),
        };
        self.source.error(code::CONNECTOR, uses.span.clone(), message, hint);
        None
    }

    fn trigger_used(
        &mut self,
        uses: &Spanned<String>,
    ) -> Option<(&'a Connector, &'a TriggerDescriptor)> {
        let (connector, name) = self.used(uses)?;
        if let Some(trigger) = connector.find_trigger(name) {
            return Some((connector, trigger));
        }
        let message = format!("`{}` has no trigger `{name}`", connector.name());
        let hint = if connector.find_action(name).is_some() {
            Some(format!("`{name}` is an action: use it in a step"))
        } else {
            suggest::hint(name, connector.triggers().iter().map(|trigger| trigger.name))
        };
        self.source.error(code::TRIGGER, uses.span.clone(), message, hint);
        None
    }

    fn action_used(
        &mut self,
        uses: &Spanned<String>,
    ) -> Option<(&'a Connector, &'a ActionDescriptor)> {
        let (connector, name) = self.used(uses)?;
        if let Some(action) = connector.find_action(name) {
            return Some((connector, action));
        }
        let message = format!("`{}` has no action `{name}`", connector.name());
        let hint = if connector.find_trigger(name).is_some() {
            Some(format!("`{name}` is a trigger: use it under `trigger`"))
        } else {
            suggest::hint(name, connector.actions().iter().map(|action| action.name))
        };
        self.source.error(code::ACTION, uses.span.clone(), message, hint);
        None
    }
}

fn at(uses: Option<&Spanned<String>>, span: &Range<usize>) -> Range<usize> {
    uses.map_or_else(|| span.clone(), |uses| uses.span.clone())
}

pub(crate) fn count(written: Option<&Spanned<u64>>) -> Option<NonZeroUsize> {
    NonZeroUsize::new(usize::try_from(written?.value).unwrap_or(usize::MAX))
}

fn max_rejects(file: &MaxRejectsFile) -> MaxRejects {
    let default = MaxRejects::default();
    MaxRejects {
        share: file.share.as_ref().map_or(default.share, |share| share.value),
        at_least: file.at_least.as_ref().map_or(default.at_least, |at_least| {
            usize::try_from(at_least.value).unwrap_or(usize::MAX)
        }),
    }
}
