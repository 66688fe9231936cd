//! What an account is made of, asked for on the terminal or read from standard input.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, anyhow, bail};
use connector::{Connector, Setting};

use crate::args::AccountAdd;

/// No settings of an account are longer, all together.
const LONGEST: u64 = 256 * 1024;

/// The settings as arguments, environment, files, terminal and standard input give them.
pub(crate) fn settings(
    connector: &Connector,
    args: &AccountAdd,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for given in &args.set {
        let (name, value) = split(given, "--set", "VALUE")?;
        if connector.settings().iter().any(|it| it.name == name && it.secret) {
            bail!(
                "`{name}` is a secret, and never an argument: the shell's history keeps it, and every \
                 program of the machine can see it; use --env {name}=VARIABLE, --file {name}=FILE, or \
                 standard input"
            );
        }
        settings.insert(name.to_owned(), value.to_owned());
    }
    for given in &args.env {
        let (name, variable) = split(given, "--env", "VARIABLE")?;
        let value = std::env::var(variable);
        let value = value.with_context(|| format!("the environment variable {variable}"))?;
        settings.insert(name.to_owned(), value);
    }
    for given in &args.file {
        split(given, "--file", "FILE")?;
    }
    for (name, path) in args.files() {
        let value = std::fs::read_to_string(&path);
        let value = value.with_context(|| format!("could not read {}", path.display()))?;
        settings.insert(name.to_owned(), value.trim().to_owned());
    }
    let missing = |settings: &BTreeMap<String, String>| {
        let needed = |it: &&Setting| it.default.is_none() && !settings.contains_key(it.name);
        connector.settings().iter().filter(needed).count()
    };
    if std::io::stdin().is_terminal() {
        for setting in connector.settings().iter().filter(|it| !args.names(it.name)) {
            settings.insert(setting.name.to_owned(), asked(setting)?);
        }
    } else if missing(&settings) > 0 {
        settings.extend(read()?);
    }
    Ok(settings)
}

impl AccountAdd {
    fn names(&self, setting: &str) -> bool {
        let all = self.set.iter().chain(&self.env).chain(&self.file);
        all.filter_map(|it| it.split_once('=')).any(|(name, _)| name == setting)
    }
}

fn split<'a>(given: &'a str, option: &str, what: &str) -> anyhow::Result<(&'a str, &'a str)> {
    // What has no `=` may be a secret that was meant for another place: it is not shown.
    given.split_once('=').ok_or_else(|| anyhow!("{option} takes SETTING={what}"))
}

/// Asks a person until the value has its form.
fn asked(setting: &Setting) -> anyhow::Result<String> {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "\n{}: {}", setting.label(), setting.explained())?;
    for (at, (value, words)) in setting.choices.iter().enumerate() {
        writeln!(terminal, "  {}) {words} ({value})", at + 1)?;
    }
    let default = setting.default.filter(|it| !it.is_empty());
    let hint = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    loop {
        let value = if setting.secret {
            rpassword::prompt_password("(not shown): ").context("could not ask")?
        } else {
            write!(terminal, "{hint}> ")?;
            terminal.flush()?;
            let mut line = String::new();
            if std::io::stdin().lock().read_line(&mut line)? == 0 {
                bail!("the input ended before everything was given; nothing was kept");
            }
            line
        };
        let value = value.trim();
        let numbered =
            value.parse::<usize>().ok().and_then(|n| setting.choices.get(n.wrapping_sub(1)));
        let value = numbered.map_or(value, |(value, _)| value);
        let value = if value.is_empty() { default.unwrap_or_default() } else { value };
        let problem = match (value.is_empty(), setting.default) {
            (true, None) => Err("a value is needed".to_owned()),
            (true, Some(_)) => Ok(()),
            (false, _) => (setting.check)(value),
        };
        match problem {
            Ok(()) => return Ok(value.to_owned()),
            Err(problem) => writeln!(terminal, "{problem}")?,
        }
    }
}

/// Reads `setting=value` lines, or a JSON object, from standard input.
fn read() -> anyhow::Result<BTreeMap<String, String>> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(LONGEST);
    input.read_to_string(&mut text).context("could not read standard input")?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        // The message of the parser may quote a value: the position is enough.
        return serde_json::from_str(text).map_err(|error| {
            anyhow!(
                "standard input is no JSON object of texts (line {}, column {})",
                error.line(),
                error.column()
            )
        });
    }
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(at, line)| {
            let (name, value) = line.split_once('=').ok_or_else(|| {
                anyhow!("standard input, line {}: `SETTING=VALUE` is needed", at + 1)
            })?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}
