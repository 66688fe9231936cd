//! The first page of the reference: what is where.

use connector::Connector;

use super::markdown::{page, table};

/// Pages that people write.
pub(super) const WRITTEN: &[(&str, &str, &str)] = &[
    ("schedules", "Schedules", "when flows run: intervals, cron, changes of clocks, failures"),
    ("serve", "The service", "all flows of a folder in one process"),
    ("doctor", "The doctor", "what `towpath doctor` looks at, and what its verdicts mean"),
    ("metrics", "Metrics", "what a service counts, and what to watch"),
    ("crashes", "Crashes", "what the crash tests kill, and what they found"),
];

/// The page, in Markdown.
pub(super) fn render(connectors: &[Connector]) -> String {
    let row =
        |name: &str, title: &str, about: &str| [format!("[{title}]({name}.md)"), about.to_owned()];
    let systems = connectors.iter().map(|it| row(it.name(), it.title(), it.description()));
    let mut rows = vec![
        row("flow-file", "The flow file", "every key of a flow, and what expressions see"),
        row("towpath-yaml", "towpath.yaml", "accounts, values, limits, the store"),
        row("commands", "Commands", "every command with its options, and the exit codes"),
        row("api", "The API", "every route of a running service, and the scope that it needs"),
        row("dead-letters", "Dead letters", "codes of refusals that every flow may meet"),
    ];
    rows.extend(WRITTEN.iter().map(|(name, title, about)| row(name, title, about)));
    page([
        "# Reference".to_owned(),
        super::GENERATED.to_owned(),
        "Systems, with their accounts, triggers, actions, limits and troubles:".to_owned(),
        table(["connector", "what it is"], systems),
        "Everything else:".to_owned(),
        table(["page", "what it says"], rows),
        "What `towpath check` finds has [a page for each code](../errors). `towpath connectors` \
         shows in the terminal what the connectors' pages say."
            .to_owned(),
    ])
}
