//! The reference: what connectors, files and commands are, as pages, for the terminal, as JSON.

mod api;
mod commands;
mod connector;
mod dead_letters;
mod describe;
pub(crate) mod example;
mod fields;
mod files;
mod index;
mod markdown;
mod schemas;
mod terminal;

#[cfg(test)]
mod tests;

pub(crate) use dead_letters::way_out;
pub(crate) use describe::describe;
pub(crate) use schemas::Schemas;
pub(crate) use terminal::{Terminal, width, wrap};

use ::connector::Connector;

/// What every page says to whoever opens it in an editor.
const GENERATED: &str =
    "<!-- Written by `cargo xtask schema`: change what it is made of, not this file. -->";

/// A page, by its name in `docs/reference`.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Every page.
pub(crate) fn pages(connectors: &[Connector]) -> Vec<Page> {
    let schemas = Schemas::of(connectors);
    let page = |name: &str, text| Page { name: format!("{name}.md"), text };
    let mut pages = vec![
        page("README", index::render(connectors)),
        page("api", api::render()),
        page("commands", commands::render()),
        page("dead-letters", dead_letters::render()),
        page("flow-file", files::flow(connectors, &schemas)),
        page("towpath-yaml", files::config(connectors, &schemas)),
    ];
    for connector in connectors {
        pages.push(page(connector.name(), connector::render(connector, &schemas)));
    }
    pages
}
