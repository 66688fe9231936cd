//! The command line with examples: what `--help` and the reference show below each command.

use clap::{Command, CommandFactory, FromArgMatches};

use crate::args::Cli;

/// A command line, and what it does.
pub(crate) type Example = (&'static str, &'static str);

/// By command, as it is typed. Every command has at least one.
pub(crate) const EXAMPLES: &[(&str, &[Example])] = &[
    ("demo", &[("towpath demo --receivers 1000", "a small one")]),
    (
        "check",
        &[
            ("towpath check", "all flow files of the folder `flows`, and towpath.yaml"),
            ("towpath check flows/newsletter.yaml --watch", "one file, again when it changes"),
            ("towpath check --config production.yaml", "against other accounts"),
        ],
    ),
    (
        "import",
        &[
            ("towpath import flow.json", "a flow file beside it, and what to know of it"),
            (
                "towpath import flow.json --stdout --component 5cc1e3f2=http",
                "printed; this component is the connector `http`",
            ),
        ],
    ),
    (
        "new",
        &[
            ("towpath new newsletter --sandbox", "runs on this machine, without any account"),
            (
                "towpath new --trigger cleverreach.getReceiversPolling --name all-receivers",
                "begins with another trigger, in this folder",
            ),
            ("towpath new copy --action cleverreach.upsertReceiver", "with another action"),
        ],
    ),
    (
        "test",
        &[
            ("towpath test", "the tests of all flow files"),
            ("towpath test flows/newsletter.yaml --json", "of one file, for machines"),
        ],
    ),
    (
        "map",
        &[
            ("towpath map newsletter --sandbox", "made-up records; nobody is asked"),
            ("towpath map newsletter --poll --count 3", "what the next run would find"),
            ("towpath map newsletter --record ada.json", "a record of your own"),
            (
                "towpath map newsletter --record ada.json --step profiles --mapping new.jsonata",
                "with another mapping for one step",
            ),
        ],
    ),
    (
        "schedule",
        &[
            ("towpath schedule", "the next three ticks of every flow"),
            (
                "towpath schedule newsletter --next 5 --from 2026-03-28T12:00:00Z",
                "five of one flow, around a change of clocks",
            ),
        ],
    ),
    (
        "run",
        &[
            ("towpath run newsletter --dry-run", "what would be sent; sends nothing"),
            ("towpath run newsletter --once", "once, now"),
            ("towpath run newsletter", "on its schedule, until a signal"),
            ("towpath run newsletter --from 2026-03-01", "once, and what changed since again"),
            ("towpath run newsletter --stop-backfill", "that is enough of it"),
        ],
    ),
    (
        "serve",
        &[
            ("towpath serve", "all flows of the folder `flows`"),
            ("towpath serve production --max-runs 16", "those of another folder"),
            ("towpath serve --plan", "what the files would make of the state that is kept"),
        ],
    ),
    ("sandbox", &[("towpath sandbox --receivers 5000", "on the usual ports, with more to read")]),
    (
        "state show",
        &[
            ("towpath state show", "which flows have state"),
            ("towpath state show newsletter", "what one remembers"),
        ],
    ),
    ("state history", &[("towpath state history newsletter", "what moved it, and when")]),
    (
        "state rewind",
        &[
            ("towpath state rewind newsletter --to now-2h", "says what that means, and asks"),
            ("towpath state rewind newsletter --by 1d --yes", "a day further back than it is"),
            ("towpath state rewind newsletter --to-entry 41", "to an entry of its history"),
        ],
    ),
    (
        "state set",
        &[
            (
                "echo '{ \"lastUpdated\": \"2026-03-01T00:00:00Z\" }' | towpath state set newsletter -",
                "goes on from there",
            ),
            ("towpath state set newsletter snapshot.json", "with a time for each partition"),
        ],
    ),
    (
        "state export",
        &[
            ("towpath state export newsletter > state.json", "where it stands"),
            ("towpath state export newsletter --seen > state.ndjson", "with all that was settled"),
        ],
    ),
    ("state import", &[("towpath state import newsletter state.ndjson", "goes on from it here")]),
    ("state keep", &[("towpath state keep newsletter", "the new source goes on where it was")]),
    ("state reset", &[("towpath state reset newsletter", "everything is read and sent again")]),
    ("account", &[("towpath account", "which there are, and which are left alone")]),
    ("account list", &[("towpath account list --json", "the same, for machines")]),
    (
        "account add",
        &[
            ("towpath account add engagement --connector clevertap", "asks for what is needed"),
            (
                "towpath account add engagement --connector clevertap --set projectId=AAA-AAA-AAAA \
                 --env passcode=CLEVERTAP_PASSCODE",
                "without a question, for a script",
            ),
        ],
    ),
    ("account test", &[("towpath account test newsletter", "what it may do at its system")]),
    (
        "account remove",
        &[("towpath account remove newsletter", "if no flow uses it; its secrets too")],
    ),
    (
        "account login",
        &[
            ("towpath account login newsletter", "in a browser of this machine"),
            ("towpath account login newsletter --paste", "in a browser anywhere"),
        ],
    ),
    ("account status", &[("towpath account status newsletter", "whether somebody logged in")]),
    ("account refresh", &[("towpath account refresh newsletter", "a new token now")]),
    ("account logout", &[("towpath account logout newsletter", "ends the login")]),
    (
        "account hooks list",
        &[("towpath account hooks list newsletter", "what its system calls, and for which flow")],
    ),
    (
        "account hooks register",
        &[(
            "towpath account hooks register newsletter newsletter-events",
            "has its system call the flow",
        )],
    ),
    (
        "account hooks remove",
        &[(
            "towpath account hooks remove newsletter newsletter-events",
            "its system calls the flow no more",
        )],
    ),
    (
        "account resume",
        &[("towpath account resume newsletter", "after its credentials were corrected there")],
    ),
    (
        "dead-letters list",
        &[
            ("towpath dead-letters list", "of all flows"),
            ("towpath dead-letters list newsletter --json", "of one, for machines"),
            (
                "towpath dead-letters list --code T2001 --since 2026-03-28T12:00:00Z",
                "those with one code, refused since then",
            ),
        ],
    ),
    ("dead-letters show", &[("towpath dead-letters show 3f9a", "the one whose id begins so")]),
    (
        "dead-letters edit",
        &[
            ("towpath dead-letters edit 3f9a", "in the editor"),
            (
                "towpath dead-letters show 3f9a --json | jq .payload.message | sed s/@@/@/ | towpath \
                 dead-letters edit 3f9a --file -",
                "by a program",
            ),
        ],
    ),
    (
        "dead-letters replay",
        &[
            ("towpath dead-letters replay 3f9a", "one"),
            (
                "towpath dead-letters replay --flow newsletter --step profiles --code T2001",
                "those that a corrected mapping takes now",
            ),
            ("towpath dead-letters replay --all", "all that are open"),
        ],
    ),
    (
        "dead-letters drop",
        &[
            ("towpath dead-letters drop 3f9a 77b0", "two of them"),
            ("towpath dead-letters drop --state replayed --yes", "those that are done with"),
        ],
    ),
    (
        "why",
        &[
            ("towpath why 279", "what every flow did with the record that has this key"),
            ("towpath why 279 --flow newsletter --json", "one flow, for machines"),
            ("towpath why 3f9a", "the record of a dead letter"),
        ],
    ),
    (
        "doctor",
        &[
            ("towpath doctor", "what is wrong here, and what to do about it"),
            ("towpath doctor --online --json", "the accounts at their systems too, for machines"),
        ],
    ),
    ("secret set", &[("towpath secret set newsletter-client-secret", "asks for the value")]),
    ("secret list", &[("towpath secret list", "when each was set, and who uses it")]),
    ("secret rm", &[("towpath secret rm newsletter-client-secret", "forgets it")]),
    ("store show", &[("towpath store show", "how much of what, and for which flow")]),
    ("store verify", &[("towpath store verify", "reads everything; exit code 8 if damaged")]),
    (
        "store backup",
        &[("towpath store backup backups/2026-11-21.towpath", "everything, also while flows run")],
    ),
    (
        "store restore",
        &[
            ("towpath store restore backups/2026-11-21.towpath", "where there is no store"),
            (
                "towpath store restore old.towpath --key-file old-machine.key",
                "on a machine with another key",
            ),
        ],
    ),
    (
        "store export",
        &[("towpath store export newsletter.towpath --flow newsletter", "one flow, no secrets")],
    ),
    (
        "store import",
        &[
            ("towpath store import newsletter.towpath", "all flows in the file"),
            ("towpath store import backup.towpath --flow newsletter", "one flow of a backup"),
        ],
    ),
    ("store compact", &[("towpath store compact", "takes only the room that it needs")]),
    (
        "store rekey",
        &[
            ("towpath store rekey", "with a new key in the configuration directory"),
            ("towpath store rekey --new-key-file /safe/new.key", "with one that you keep"),
        ],
    ),
    ("flow list", &[("towpath flow list", "when each runs next, and which are paused")]),
    (
        "flow pause",
        &[("towpath flow pause newsletter --reason maintenance", "until it is resumed")],
    ),
    ("flow resume", &[("towpath flow resume newsletter", "on its schedule again")]),
    ("flow run", &[("towpath flow run newsletter", "now, by the running service")]),
    (
        "token create",
        &[
            ("towpath token create laptop --scope read --scope operate", "for whoever operates"),
            ("towpath token create ci --scope read --expires 90d", "for three months"),
        ],
    ),
    ("token list", &[("towpath token list", "which there are, and what they open")]),
    ("token revoke", &[("towpath token revoke laptop", "it opens nothing any more")]),
    ("open", &[("towpath open", "the link, to follow in a browser")]),
    (
        "completions",
        &[(
            "towpath completions bash > ~/.local/share/bash-completion/completions/towpath",
            "for bash; a new shell knows it",
        )],
    ),
    (
        "connectors",
        &[
            ("towpath connectors", "which there are, and what they offer"),
            ("towpath connectors cleverreach", "one: account, triggers, actions, limits"),
            ("towpath connectors clevertap.uploadProfiles", "one action: its fields and input"),
        ],
    ),
    (
        "partner-kit",
        &[
            (
                "towpath partner-kit clevertap --kind attribution --set company=Example",
                "printed, with what is still to be filled in",
            ),
            (
                "towpath partner-kit clevertap --kind technical --output clevertap.md --logo logo.svg",
                "written to a file; the logo is looked at",
            ),
        ],
    ),
    (
        "schema",
        &[
            (
                "towpath schema --write",
                "both schemas, where the files of `towpath new` expect them",
            ),
            ("towpath schema config > towpath.schema.json", "one, to keep elsewhere"),
        ],
    ),
];

/// Reads the command line; ends the process where it cannot be read.
pub(crate) fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The command line, with the examples of each command below its help.
pub(crate) fn command() -> Command {
    with_examples(Cli::command(), "")
}

/// The examples of a command, by its words behind `towpath`.
pub(crate) fn of(path: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(known, _)| *known == path).map_or(&[], |(_, examples)| *examples)
}

fn with_examples(mut command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    for name in names {
        let path = format!("{path} {name}").trim_start().to_owned();
        command = command.mut_subcommand(name, |inner| with_examples(inner, &path));
    }
    let examples = of(path);
    if examples.is_empty() {
        return command;
    }
    let lines = examples.iter().map(|(line, what)| format!("\n  {line}\n      {what}"));
    let text = format!("Examples:{}", lines.collect::<String>());
    let after = match command.get_after_help() {
        Some(before) => format!("{text}\n\n{before}"),
        None => text,
    };
    command.after_help(after)
}
