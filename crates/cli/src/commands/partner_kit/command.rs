//! The command: which kit is meant, what is filled in, and what is still to do.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, anyhow};
use connector::{Filled, PartnerKit};
use serde_json::json;

use super::logo;
use crate::args;
use crate::exit::{Exit, Failed, Result};
use crate::progress::{print, print_json, say};
use crate::registry;

pub(crate) fn run(args: &args::PartnerKit, json: bool) -> Result {
    let kit = chosen(&args.connector, args.kind.as_deref())?;
    let values = values(&kit, &args.set)?;
    let Filled { text, open } = kit.filled(&values);
    let problems = match (&args.logo, kit.logo) {
        (Some(path), Some(size)) => {
            let svg = std::fs::read(path).with_context(|| format!("{}", path.display()));
            logo::problems(&svg.map_err(Failed::config)?, size)
        }
        _ => vec![],
    };
    if let Some(path) = &args.output {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        let written = written.with_context(|| format!("could not write {}", path.display()));
        written.map_err(Failed::config)?;
    }
    if json {
        let open = open.iter().map(|(name, meant)| json!({ "name": name, "meant": meant }));
        let document = args.output.is_none().then_some(&text);
        let open: Vec<_> = open.collect();
        print_json(&json!({
            "kind": kit.kind, "document": document, "open": open, "logoProblems": problems,
        }));
    } else {
        match &args.output {
            Some(path) => say(&format!("wrote {}", path.display())),
            None => print(text.trim_end()),
        }
        for (name, meant) in &open {
            say(&format!("to be filled in: --set {name}=…  {meant}"));
        }
        for problem in &problems {
            say(&format!("logo: {problem}"));
        }
        if args.logo.is_some() && problems.is_empty() {
            say("logo: nothing to object to");
        } else if let (None, Some((width, height))) = (&args.logo, kit.logo) {
            say(&format!(
                "a logo goes with it: an SVG of {width} x {height} pixels, transparent behind; \
                 `--logo FILE` looks at yours"
            ));
        }
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Findings })
}

fn chosen(name: &str, kind: Option<&str>) -> Result<PartnerKit> {
    let connectors = registry::connectors();
    let Some(connector) = connectors.iter().find(|it| it.name() == name) else {
        let known = connectors.iter().map(connector::Connector::name);
        let hint = flow::did_you_mean(name, known).map(|hint| format!("; {hint}"));
        let hint = hint.unwrap_or_default();
        return Err(Failed::config(anyhow!("there is no connector `{name}`{hint}")));
    };
    let kits = connector.documents_of_partners();
    let kinds = || kits.iter().map(|kit| format!("`--kind {}` ({})", kit.kind, kit.about));
    match (kits, kind) {
        ([], _) => Err(Failed::config(anyhow!("nothing is known of partners of {name}"))),
        ([only], None) => Ok(*only),
        (_, None) => {
            let kinds = kinds().collect::<Vec<_>>().join(" or ");
            Err(Failed::config(anyhow!("say which kind of partner: {kinds}")))
        }
        (_, Some(kind)) => kits.iter().find(|kit| kit.kind == kind).copied().ok_or_else(|| {
            let kinds = kinds().collect::<Vec<_>>().join(" or ");
            Failed::config(anyhow!("there are no `{kind}` partners of {name}: {kinds}"))
        }),
    }
}

fn values(kit: &PartnerKit, set: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let places = kit.places();
    for (name, _) in set {
        if places.iter().all(|(known, _)| known != name) {
            let known = places.iter().map(|(known, _)| *known);
            let hint = flow::did_you_mean(name, known.clone());
            let names = known.collect::<Vec<_>>().join(", ");
            let hint = hint.unwrap_or_else(|| format!("its places are {names}"));
            return Err(Failed::config(anyhow!("the document has no place `{name}`; {hint}")));
        }
    }
    Ok(set.iter().cloned().collect())
}
