//! A connector to check flow files against, and the files that use it.

use async_trait::async_trait;
use connector::prelude::*;
use flow::config::Config;
use flow::{Context, Finding, Flow};

/// Finds contacts that changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ContactChanged {
    /// The list to read.
    list: String,
    /// Which contacts are read.
    #[serde(default)]
    _kind: Option<Kind>,
    /// The largest page.
    #[serde(default = "page")]
    page_size: u32,
}

/// Which contacts are read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Kind {
    /// Those that may be written to.
    Active,
    /// All of them.
    All,
}

fn page() -> u32 {
    100
}

#[async_trait]
impl PollingTrigger for ContactChanged {
    type Cursor = u32;
    const CHANGES: Changes = Changes::Timestamps;

    fn validate(&self) -> Result<(), String> {
        if self.page_size > 500 {
            return Err("`pageSize` is at most 500".to_owned());
        }
        if self.list.is_empty() { Err("`list` is empty".to_owned()) } else { Ok(()) }
    }

    async fn poll(&self, _: &Api, _: &Scan<u32>) -> connector::Result<Page<u32>> {
        Ok(Page { records: vec![], next: None })
    }
}

/// Writes contacts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpsertContact {
    /// Whether contacts get a mail.
    #[serde(default)]
    mail: bool,
}

/// One contact.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    identity: String,
    #[serde(default = "kind", rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

fn kind() -> String {
    "contact".to_owned()
}

#[async_trait]
impl Action for UpsertContact {
    type Input = Input;
    const MAX_BATCH: usize = 50;

    fn warnings(&self) -> Vec<String> {
        let warning = "`mail` is on: every contact gets a mail".to_owned();
        if self.mail { vec![warning] } else { vec![] }
    }

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, _: &Api, batch: &connector::Batch<Input>) -> connector::Result<Outcomes> {
        Ok(batch.outcomes())
    }
}

pub(crate) fn connectors() -> Vec<Connector> {
    let crm = Connector::new(
        "example-crm",
        "https://api.example-crm.test/v1",
        Auth::api_key("X-Api-Key"),
    )
    .about("Keeps contacts.")
    .setting(Setting::plain("project", "The project's number.").checked(|value| {
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        if digits { Ok(()) } else { Err("it has digits only".to_owned()) }
    }))
    .limit("write", 3)
    .polling::<ContactChanged>(
        "contactChanged",
        r#"{ "metadata": { "recordUid": $string(data.id) }, "data": { "name": data.name } }"#,
    )
    .action::<UpsertContact>(
        "upsertContact",
        r#"{ "identity": metadata.recordUid, "name": data.name }"#,
    );
    let other = Connector::new("other", "https://api.other.test", Auth::api_key("X-Api-Key"))
        .about("Other.");
    vec![crm, other]
}

pub(crate) const CONFIG: &str = "\
accounts:
  sales: { connector: example-crm, project: \"17\", apiKey: { env: SALES_KEY } }
  mail: { connector: other, apiKey: { file: /run/secrets/mail } }
vars: { country: DE }
limits:
  sales: { write: 2 }
store: { path: state }
";

pub(crate) fn config() -> Config {
    let (config, findings) = flow::config::check("towpath.yaml", CONFIG, &connectors());
    assert!(findings.is_empty(), "{findings:?}");
    config.unwrap_or_default()
}

pub(crate) fn check(text: &str) -> (Option<Flow>, Vec<Finding>) {
    let (connectors, config) = (connectors(), config());
    flow::check("a.yaml", text, &Context { connectors: &connectors, config: Some(&config) })
}

/// What a person sees.
pub(crate) fn shown(text: &str) -> String {
    let (flow, findings) = check(text);
    assert_eq!(flow.is_some(), !findings.iter().any(Finding::is_error));
    flow::render(&findings, text, false)
}

/// A right file.
pub(crate) const RIGHT: &str = r#"flow: contacts-to-crm
about: Keeps contacts in step.

trigger:
  use: example-crm.contactChanged
  account: sales
  every: 5m
  overlap: 0s
  fields:
    list: Newsletter
    kind: active

steps:
  - id: contacts
    use: example-crm.upsertContact
    account: sales
    after: trigger
    when: data.name != "Nobody"
    batch: 20
    retry: { attempts: 3, base: 2s, cap: 1m }
    fields:
      customMapping: |
        {
          "identity": metadata.recordUid,
          "name": data.name & " (" & $flow.vars.country & ")"
        }
  - { id: again, use: example-crm.upsertContact, account: sales, fields: { skipTransformation: true } }

maxRejects: { share: 0.5, atLeast: 3 }
window: 2

tests:
  - name: a message
    given: { metadata: { recordUid: "1" }, data: { identity: "1", name: Ada } }
    expect:
      contacts: [ { identity: "1", type: contact, name: Ada (DE) } ]
      again: [ { identity: "1", name: Ada } ]
  - name: filtered out
    given: { data: { name: Nobody } }
    expect: { contacts: [], again: [] }
  - name: a raw record
    given: { record: { id: 7, name: Grace } }
    expect: { contacts: [ { identity: "7", name: Grace (DE) } ] }
"#;
