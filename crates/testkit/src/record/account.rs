//! Which system is recorded: the sandbox, another address of it, or an account of a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use connector::Connector;
use serde::Deserialize;
use serde_json::Value;

use super::{Origin, Unrecorded};

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    accounts: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Chooses by what is asked for.
pub(super) fn origin(
    connector: &Connector,
    sandbox: Option<Origin>,
    asked: impl Fn(&str) -> Option<String>,
) -> Result<Origin, Unrecorded> {
    if let Some(name) = asked("TOWPATH_RECORD_ACCOUNT") {
        let path = asked("TOWPATH_RECORD_CONFIG").unwrap_or_else(|| "towpath.yaml".to_owned());
        return account(connector, &name, &PathBuf::from(path)).map_err(Unrecorded::Origin);
    }
    let base_url = asked("TOWPATH_RECORD_BASE_URL");
    match (sandbox, base_url) {
        (Some(sandbox), Some(base_url)) => Ok(Origin { base_url, ..sandbox }),
        (Some(sandbox), None) => Ok(sandbox),
        (None, Some(base_url)) => {
            // Whoever answers there is not the system itself: made-up values do.
            let made_up = |setting: &connector::Setting| {
                (setting.name.to_owned(), setting.default.unwrap_or("made-up-value").to_owned())
            };
            Ok(Origin { base_url, account: connector.settings().iter().map(made_up).collect() })
        }
        (None, None) => {
            let name = connector.name();
            Err(Unrecorded::Origin(format!(
                "there is no sandbox of {name}: say where it is with `--account NAME` (an account of \
                 towpath.yaml) or `--base-url URL`"
            )))
        }
    }
}

fn account(connector: &Connector, name: &str, path: &Path) -> Result<Origin, String> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let config: Config = serde_saphyr::from_str(&read(path)?)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let written = config.accounts.get(name);
    let written = written.ok_or_else(|| format!("{} has no account {name}", path.display()))?;
    if written.get("connector").and_then(Value::as_str) != Some(connector.name()) {
        return Err(format!("account {name} is not one of {}", connector.name()));
    }
    let mut account = BTreeMap::new();
    for (setting, value) in written.iter().filter(|(setting, _)| *setting != "connector") {
        let source = |name: &str| value.get(name).and_then(Value::as_str);
        let value = match (value, source("env"), source("file")) {
            (Value::String(text), ..) => Ok(text.clone()),
            (Value::Number(number), ..) => Ok(number.to_string()),
            (_, Some(variable), _) => {
                std::env::var(variable).map_err(|_| format!("{variable} is not set"))
            }
            (_, _, Some(file)) => {
                let folder = path.parent().unwrap_or(Path::new("."));
                read(&folder.join(file)).map(|text| text.trim().to_owned())
            }
            _ => Err("recording takes text, `{ env: NAME }` or `{ file: PATH }`".to_owned()),
        };
        let value = value.map_err(|problem| format!("account {name}: `{setting}`: {problem}"))?;
        account.insert(setting.clone(), value);
    }
    let own = account.remove("baseUrl");
    let made = connector.account(name, own.as_deref(), account.clone());
    let made = made.map_err(|error| error.to_string())?;
    Ok(Origin { base_url: made.base_url().to_string(), account })
}

#[cfg(test)]
mod tests {
    use connector::Auth;

    use super::*;

    #[test]
    fn an_account_of_a_file_is_read_with_its_secrets() {
        let folder = std::env::temp_dir().join(format!("towpath-account-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("towpath.yaml");
        let written = "vars: { a: 1 }\naccounts:\n  sales: { connector: crm, baseUrl: \"http://127.0.0.1:1/v1\", \
                       apiKey: { file: key } }\n  mail: { connector: other }\n  late: { connector: crm, \
                       apiKey: { secret: KEY } }\n";
        std::fs::write(&path, written).unwrap();
        std::fs::write(folder.join("key"), "not-a-real-key\n").unwrap();
        let crm = Connector::new("crm", "https://crm.test", Auth::api_key("X-Api-Key"));
        let origin = account(&crm, "sales", &path).unwrap();
        assert_eq!(origin.base_url, "http://127.0.0.1:1/v1");
        assert_eq!(origin.account.get("apiKey").unwrap(), "not-a-real-key");
        for (name, problem) in
            [("none", "no account none"), ("mail", "not one of crm"), ("late", "`{ env: NAME }`")]
        {
            let said = account(&crm, name, &path).map(drop).unwrap_err();
            assert!(said.contains(problem), "{said}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
