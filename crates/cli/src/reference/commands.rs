//! The page of the command line, from what clap reads.

use clap::{Arg, Command, CommandFactory};

use super::fields::one_paragraph;
use super::markdown::{code, page, quoted, table};
use crate::args::Cli;
use crate::{examples, exit};

/// The page, in Markdown.
pub(crate) fn render() -> String {
    let mut whole = Cli::command().term_width(100);
    whole.build();
    let mut parts = vec![
        "# Commands".to_owned(),
        super::GENERATED.to_owned(),
        whole.get_about().map(ToString::to_string).unwrap_or_default(),
        "The same is in `towpath --help` and `towpath COMMAND --help`. Every command also takes:"
            .to_owned(),
        arguments(whole.get_arguments().filter(|it| it.is_global_set())),
    ];
    describe(&whole, "", &mut parts);
    parts.push("## Environment".to_owned());
    parts.push(environment());
    parts.push("## Exit codes".to_owned());
    parts.push(exit_codes());
    page(parts)
}

fn describe(command: &Command, path: &str, parts: &mut Vec<String>) {
    for inner in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        if inner.get_name() == "help" {
            continue;
        }
        let path = format!("{path} {}", inner.get_name());
        let about = inner.get_long_about().or(inner.get_about()).map(ToString::to_string);
        let paragraphs = about.unwrap_or_default();
        let paragraphs: Vec<_> = paragraphs.split("\n\n").map(one_paragraph).collect();
        parts.push(format!("## `towpath{path}`"));
        parts.push(paragraphs.join("\n\n"));
        let is_group = inner.get_subcommands().next().is_some();
        if is_group && inner.is_subcommand_required_set() {
            describe(inner, &path, parts);
            continue;
        }
        let usage = inner.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").to_owned();
        parts.push(code("text", &one_paragraph(&usage)));
        parts.push(arguments(inner.get_arguments().filter(|it| !it.is_global_set())));
        let examples = examples::of(path.trim_start());
        let lines = examples.iter().map(|(line, what)| format!("{line:<56}  # {what}\n"));
        if !examples.is_empty() {
            parts.push(code("console", &lines.collect::<String>()));
        }
        let after = inner.get_after_help().map(ToString::to_string);
        parts.extend(after.filter(|it| it != exit::HELP).map(|it| code("text", &it)));
        if is_group {
            describe(inner, &path, parts);
        }
    }
}

fn arguments<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let shown = arguments.filter(|it| !it.is_hide_set());
    let shown = shown.filter(|it| !["help", "version"].contains(&it.get_id().as_str()));
    let rows = shown.map(|argument| {
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
        let mut help = one_paragraph(&help.unwrap_or_default());
        let mut default: Vec<_> =
            argument.get_default_values().iter().map(|it| quoted(&it.to_string_lossy())).collect();
        if argument.get_num_args().is_some_and(|many| many.takes_values()) {
            for value in argument.get_possible_values().iter().filter(|it| !it.is_hide_set()) {
                let about = value.get_help().map(|it| format!(": {it}")).unwrap_or_default();
                help = format!("{help} `{}`{}", value.get_name(), one_paragraph(&about));
            }
        } else {
            default.clear();
        }
        let required = argument.is_required_set().then(|| "required".to_owned());
        default.extend(required);
        [quoted(&written(argument)), default.join(", "), help]
    });
    table(["", "default", "what it is"], rows)
}

/// As it is typed: `--next <N>`, `[FLOW]...`.
fn written(argument: &Arg) -> String {
    argument.to_string()
}

fn environment() -> String {
    let rows = [
        ("TOWPATH_KEY", "the key that the store is sealed with"),
        ("TOWPATH_KEY_FILE", "the file that holds the key"),
        (
            "TOWPATH_LOG",
            "what is logged to standard error: `debug`, or `warn,towpath_engine=debug`; `warn` unless given",
        ),
    ];
    table(["variable", "what it is"], rows.map(|(name, what)| [quoted(name), what.to_owned()]))
}

fn exit_codes() -> String {
    let lines = exit::HELP.lines().skip(1);
    let rows = lines.filter_map(|line| line.trim().split_once("  "));
    table(["code", "meaning"], rows.map(|(code, what)| [code.to_owned(), what.trim().to_owned()]))
}
