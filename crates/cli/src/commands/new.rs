//! `towpath new`: the files of a project, or one more flow of it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use connector::Connector;
use flow::config::{Account, Given};
use serde_json::json;

use crate::args::New;
use crate::commands::schema;
use crate::exit::{Exit, Failed, Result};
use crate::folder;
use crate::progress::{print, print_json};
use crate::project::{CONFIG, Checked, Project};
use crate::registry;
use crate::scaffold::{self, Accounts, Plan};

/// What is kept out of version control: the store, and the schemas, which `towpath` writes anew.
const IGNORED: &str = ".towpath/";

pub(crate) fn run(config: Option<&Path>, args: &New, json: bool) -> Result {
    if config.is_some() {
        let error =
            anyhow!("`towpath new` makes the towpath.yaml of its folder: leave --config out");
        return Err(Failed::config(error));
    }
    let connectors = registry::connectors();
    let trigger = trigger(&connectors, &args.trigger).map_err(Failed::config)?;
    let action = action(&connectors, &args.action).map_err(Failed::config)?;
    if args.sandbox {
        for connector in [trigger.0, action.0] {
            if scaffold::stand_in(connector.name()).is_none() {
                let name = connector.name();
                let error = anyhow!("the sandbox has no stand-in of {name}: leave --sandbox out");
                return Err(Failed::config(error));
            }
        }
    }
    let config_path = args.folder.join(CONFIG);
    let known = if config_path.exists() { Some(Project::read(Some(&config_path))?) } else { None };
    let name = args.name.clone();
    let name = name.unwrap_or_else(|| format!("{}-to-{}", trigger.0.name(), action.0.name()));
    if !flow::is_name(&name) {
        return Err(Failed::config(anyhow!(
            "a flow cannot be called `{name}`: its name has small letters, digits and hyphens, \
             begins with a letter or digit, and is at most 100 long"
        )));
    }
    let has_source = trigger.0.has_accounts();
    let source = account(known.as_ref(), trigger.0, args.sandbox);
    let target = account(known.as_ref(), action.0, args.sandbox);

    let flows = flows(&args.folder);
    let flow_path = flows.join(format!("{name}.yaml"));
    let plan = Plan {
        name: &name,
        trigger,
        action,
        accounts: (has_source.then_some(source.0.as_str()), &target.0),
        sandbox: args.sandbox,
        schemas: if flows == args.folder { ".towpath" } else { "../.towpath" },
    };
    let (mut flow, mut to_edit) = scaffold::flow(&plan);
    let mut accounts = Accounts::default();
    for (at, (account, connector)) in [(&source, trigger.0), (&target, action.0)].iter().enumerate()
    {
        if !account.1 && connector.has_accounts() && (at == 0 || account.0 != source.0) {
            accounts.add(&account.0, connector, args.sandbox);
        }
    }
    to_edit.extend(accounts.to_edit.iter().cloned());
    let written = scaffold::config(&accounts.text);
    // What is made here is looked at as every other file would be; a name may be wrong.
    let mut both = Accounts::default();
    if has_source {
        both.add(&source.0, trigger.0, args.sandbox);
    }
    if target.0 != source.0 {
        both.add(&target.0, action.0, args.sandbox);
    }
    let project = Project::of_text(&config_path, &scaffold::config(&both.text))?;
    if let Some(test) = scaffold::test(&project, &flow, trigger.1) {
        flow.push_str(&test);
    }
    let (_, findings) = project.check_text(&flow_path, &flow);
    Checked::new(flow.clone(), findings).report()?;

    let mut files = vec![(flow_path.clone(), flow)];
    if known.is_none() {
        files.push((config_path, written));
    }
    refuse_existing(&files)?;
    if let Some(other) = known.as_ref().and_then(|project| project.flow_file(&name)) {
        let other = other.display();
        return Err(Failed::config(anyhow!(
            "{other} already is the flow {name}: give another --name"
        )));
    }
    for (path, text) in &files {
        create(path, text)?;
    }
    schema::write(&args.folder).map_err(Failed::config)?;
    if known.is_none() {
        ignore(&args.folder.join(".gitignore")).map_err(Failed::config)?;
    }

    let polled = trigger.1.kind.is_polled();
    let known = known.is_some();
    let next = Next { args, name: &name, flow: &flow_path, polled, known, accounts, to_edit };
    if json {
        let made: Vec<_> = files.iter().map(|(path, _)| shown(path)).collect();
        let secrets: Vec<_> = next.accounts.secrets.iter().map(|(name, _)| name).collect();
        print_json(&json!({
            "flow": name, "files": made, "secrets": secrets, "toEdit": next.to_edit,
            "missingAccounts": if next.known { &*next.accounts.text } else { "" },
        }));
    } else {
        next.print(&files);
    }
    Ok(Exit::Done)
}

/// What is left to do, for a person.
struct Next<'a> {
    args: &'a New,
    name: &'a str,
    flow: &'a Path,
    polled: bool,
    known: bool,
    accounts: Accounts,
    to_edit: Vec<String>,
}

impl Next<'_> {
    fn print(&self, files: &[(PathBuf, String)]) {
        for (path, _) in files {
            print(&format!("made {}", shown(path)));
        }
        if self.known && !self.accounts.text.is_empty() {
            let config = self.args.folder.join(CONFIG);
            print(&format!("\nAdd to `accounts` in {}:\n", shown(&config)));
            print(self.accounts.text.trim_end());
        }
        print("\nNext:");
        if self.args.folder != Path::new(".") {
            print(&format!("  cd {}", quoted(&self.args.folder.display().to_string())));
        }
        let step = |command: &str, what: &str| print(&format!("  {command:<44} # {what}"));
        if !self.to_edit.is_empty() {
            print(&format!("  edit what begins with `your-`: {}", self.to_edit.join(", ")));
        }
        step("towpath check", "every mistake at its line");
        step("towpath test", "what would be sent; needs no network");
        if self.args.sandbox {
            step("towpath sandbox", "in a terminal of its own");
        }
        for (secret, value) in &self.accounts.secrets {
            match value {
                Some(fake) => {
                    print(&format!("  echo {fake} | towpath secret set {secret}"));
                }
                None => step(&format!("towpath secret set {secret}"), "asks for the value"),
            }
        }
        if self.polled {
            step(
                &format!("towpath map {} --poll", self.name),
                "tries the mappings on the next records",
            );
            step(&format!("towpath run {} --once", self.name), "runs it");
        } else {
            step("towpath serve", "runs it whenever something comes");
        }
        print(&format!("The flow is in {}.", shown(self.flow)));
    }
}

fn trigger<'a>(
    connectors: &'a [Connector],
    name: &str,
) -> anyhow::Result<(&'a Connector, &'a connector::TriggerDescriptor)> {
    let mut all = connectors.iter().flat_map(|it| it.triggers().iter().map(move |own| (it, own)));
    let found = all.clone().find(|(it, own)| name == format!("{}.{}", it.name(), own.name));
    found.ok_or_else(|| {
        let known = all.by_ref().map(|(it, own)| format!("{}.{}", it.name(), own.name));
        anyhow!("there is no trigger {name}; known: {}", known.collect::<Vec<_>>().join(", "))
    })
}

fn action<'a>(
    connectors: &'a [Connector],
    name: &str,
) -> anyhow::Result<(&'a Connector, &'a connector::ActionDescriptor)> {
    let mut all = connectors.iter().flat_map(|it| it.actions().iter().map(move |own| (it, own)));
    let found = all.clone().find(|(it, own)| name == format!("{}.{}", it.name(), own.name));
    found.ok_or_else(|| {
        let known = all.by_ref().map(|(it, own)| format!("{}.{}", it.name(), own.name));
        anyhow!("there is no action {name}; known: {}", known.collect::<Vec<_>>().join(", "))
    })
}

/// The account to use of a connector, and whether it is there already; for the sandbox only one
/// that leads there.
fn account(project: Option<&Project>, connector: &Connector, sandbox: bool) -> (String, bool) {
    let own = connector.name();
    let stand_in = if sandbox { scaffold::stand_in(own) } else { None };
    let fits = |account: &Account| {
        let url = stand_in.as_ref().map(|it| Given::Literal(it.base_url.clone()));
        account.connector == own && (url.is_none() || account.base_url == url)
    };
    let accounts = project.and_then(Project::config).map(|config| &config.accounts);
    let Some(accounts) = accounts else { return (own.to_owned(), false) };
    if accounts.get(own).is_some_and(fits) {
        return (own.to_owned(), true);
    }
    if let Some((name, _)) = accounts.iter().find(|(_, account)| fits(account)) {
        return (name.clone(), true);
    }
    // The name may be that of an account of another system, or of the real one.
    let other = if sandbox { "sandbox" } else { "account" };
    let names = std::iter::once(own.to_owned());
    let mut names = names.chain(std::iter::once(format!("{own}-{other}")));
    let free = names.find(|name| !accounts.contains_key(name));
    let mut numbered = (2_u32..).map(|number| format!("{own}-{other}-{number}"));
    let free = free.or_else(|| numbered.find(|name| !accounts.contains_key(name)));
    (free.unwrap_or_else(|| own.to_owned()), false)
}

/// Where flows are: beside towpath.yaml if some are there and no folder `flows` is.
fn flows(folder: &Path) -> PathBuf {
    let flows = folder.join("flows");
    let beside = folder::flow_files(folder).is_ok_and(|files| !files.is_empty());
    if !flows.is_dir() && beside { folder.to_owned() } else { flows }
}

fn refuse_existing(files: &[(PathBuf, String)]) -> Result<()> {
    match files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        None => Ok(()),
        Some((path, _)) => {
            let path = shown(path);
            Err(Failed::config(anyhow!(
                "{path} is there already: nothing was written; give another --name or folder"
            )))
        }
    }
}

/// A path as a person would write it.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=@%:,".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn create(path: &Path, text: &str) -> Result<()> {
    let write = || {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
    };
    write().with_context(|| format!("could not write {}", path.display())).map_err(Failed::config)
}

/// Adds what is to be ignored, unless it is there.
fn ignore(path: &Path) -> anyhow::Result<()> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("could not read {}", path.display()));
        }
    };
    let known = [IGNORED, ".towpath", "/.towpath", "/.towpath/"];
    if text.lines().any(|line| known.contains(&line.trim())) {
        return Ok(());
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let written = file.write_all(format!("{gap}{IGNORED}\n").as_bytes());
    written.with_context(|| format!("could not write {}", path.display()))
}
