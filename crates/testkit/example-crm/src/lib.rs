//! Example CRM: the contacts of a list, read and written by its REST API.

use connector::prelude::*;

/// Emits the contacts of a list that changed since the last poll.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ContactChanged {
    /// The list's name.
    list: String,
}

#[derive(Deserialize)]
struct Listed {
    contacts: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Known {
    id: String,
    updated_at: Timestamp,
}

#[async_trait]
impl PollingTrigger for ContactChanged {
    type Cursor = String;
    const CHANGES: Changes = Changes::Timestamps;
    const VOLATILE: &'static [&'static str] = &["/last_seen_at"];

    async fn poll(&self, api: &Api, scan: &Scan<String>) -> Result<Page<String>> {
        let request = api.get(["lists", &self.list, "contacts"]);
        let request = request.query_if("changed_since", scan.want.since());
        let answer = request.query_if("cursor", scan.cursor.as_ref()).send().await?;
        let Listed { contacts, next } = answer.json()?;
        let records = contacts.into_iter().map(|data| match serde_json::from_str(data.get()) {
            Ok(Known { id, updated_at }) => Ok(Record { key: id, version: Some(updated_at), data }),
            Err(_) => Err(answer.nonsense("with a contact that has no id or time")),
        });
        Ok(Page { records: records.collect::<Result<_>>()?, next })
    }
}

/// Creates contacts, or changes those that are there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UpsertContact {}

/// A contact, known by the id that it has in the system it comes from.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Contact {
    external_id: String,
    email: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Id(String),
    Refused { code: String, text: String },
}

#[async_trait]
impl Action for UpsertContact {
    type Input = Contact;
    const MAX_BATCH: usize = 100;

    fn idempotent(&self) -> bool {
        true // The external id says which contact is meant, however often it comes.
    }

    async fn run(&self, api: &Api, batch: &Batch<Contact>) -> Result<Outcomes> {
        let contacts: Vec<_> = batch.items.iter().map(|item| &*item.input).collect();
        let request = api.post(["contacts", "batch"]).class("write");
        let answer = request.json(&json!({ "contacts": contacts })).send().await?;
        let written: Vec<Written> = answer.json()?;
        let mut outcomes = batch.outcomes();
        let whole = written.len() == contacts.len(); // Otherwise nobody's outcome is certain.
        for (index, written) in written.into_iter().enumerate().filter(|_| whole) {
            let outcome = match written {
                Written::Id(id) => Outcome::done(json!({ "id": id })),
                Written::Refused { code, text } => Outcome::rejected(code, answer.redact(&text)),
            };
            outcomes.set(index, outcome);
        }
        Ok(outcomes)
    }
}

/// Example CRM's trigger and action, and how to reach its API.
pub fn connector() -> Connector {
    Connector::new("example-crm", "https://api.example-crm.test/v1", Auth::api_key("X-Api-Key"))
        .about("Example CRM: contacts in lists.")
        .limit("write", 3)
        .polling::<ContactChanged>("contactChanged", include_str!("contact-changed.jsonata"))
        .action::<UpsertContact>("upsertContact", include_str!("upsert-contact.jsonata"))
}
