//! `uploadCustomList`: uploads a list of people, a segment of its own.

use connector::prelude::*;
use serde_json::Map;

use crate::staged::{self, Asked, Kind};
use crate::{record, rejections};

const FILES: Kind = Kind {
    address: ("get_custom_list_segment_url", "POST /get_custom_list_segment_url"),
    completed: (
        "upload_custom_list_segment_completed",
        "POST /upload_custom_list_segment_completed",
    ),
};

/// Uploads a list of people, which is a segment of its own then; a message a list. CleverTap gives an
/// address, the file goes there, and CleverTap is told: each stage is kept before its request leaves,
/// and what breaks off goes on at its stage. What CleverTap makes of the file it mails to `email`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "name": "Spring", "creator": "Jane", "email": "jane@example.com", "filename": "spring.csv"
}]))]
pub(crate) struct UploadCustomList {
    /// The list's name in CleverTap, where a message gives none of its own. A name that there is
    /// already is refused, unless `replace` is set.
    name: String,
    /// Who uploads it.
    creator: String,
    /// Where CleverTap mails what it made of the file.
    email: String,
    /// The file's name as CleverTap shows it.
    #[serde(default = "filename")]
    filename: String,
    /// Replaces the list of this name.
    #[serde(default)]
    replace: bool,
}

fn filename() -> String {
    "towpath.csv".to_owned()
}

/// A list of people.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "rows": [{ "identity": "279" }, { "guid": "__g0123" }] }]))]
pub(crate) struct List {
    /// Its name, in place of the field `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The people.
    #[serde(default)]
    rows: Vec<Person>,
}

/// A person, by exactly one id.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Person {
    /// Your own id of the person, a text or a whole number.
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// CleverTap's own id of a device of the person (`objectId` elsewhere).
    #[serde(default, deserialize_with = "record::id", skip_serializing_if = "Option::is_none")]
    guid: Option<String>,
}

impl List {
    fn csv(&self) -> Result<String, Outcome> {
        if self.rows.is_empty() {
            return Err(rejections::NO_ROWS.because("the list has nobody on it"));
        }
        let mut csv = String::new();
        staged::line(&mut csv, ["Type", "Identity"]);
        for (number, row) in (1..).zip(&self.rows) {
            match (&row.identity, &row.guid) {
                (Some(id), None) => staged::line(&mut csv, ["i", id]),
                (None, Some(id)) => staged::line(&mut csv, ["g", id]),
                _ => {
                    let why = format!("row {number} has not exactly one of identity and guid");
                    return Err(rejections::BAD_ROW.because(why));
                }
            }
        }
        if csv.len() > staged::LARGEST {
            return Err(rejections::TOO_LARGE.because(format!("the file has {} bytes", csv.len())));
        }
        Ok(csv)
    }
}

#[async_trait]
impl Action for UploadCustomList {
    type Input = List;
    const REJECTIONS: &'static [Rejection] = rejections::CUSTOM_LIST;

    fn validate(&self) -> Result<(), String> {
        let given = [("name", &self.name), ("creator", &self.creator), ("email", &self.email)];
        match given.into_iter().find(|(_, value)| value.trim().is_empty()) {
            Some((name, _)) => Err(format!("`{name}` is empty")),
            None => Ok(()),
        }
    }

    /// Until the file is at its address nothing is done that counts.
    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<List>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let name = staged::name(item.input.name.as_deref(), &self.name);
            let outcome = match name.and_then(|name| Ok((name, item.input.csv()?))) {
                Ok((name, csv)) => FILES.begin(api, name, csv).await?,
                Err(refusal) => refusal,
            };
            outcomes.set(index, outcome);
        }
        Ok(outcomes)
    }

    async fn check(&self, api: &Api, token: &str) -> Result<Outcome> {
        self.go_on(api, token, Asked::Again).await
    }

    async fn first_check(&self, api: &Api, token: &str) -> Result<Outcome> {
        self.go_on(api, token, Asked::First).await
    }
}

impl UploadCustomList {
    async fn go_on(&self, api: &Api, token: &str, asked: Asked) -> Result<Outcome> {
        let body = |name: &str, url: &str| {
            Map::from_iter([
                ("name".to_owned(), json!(name)),
                ("email".to_owned(), json!(self.email)),
                ("filename".to_owned(), json!(self.filename)),
                ("creator".to_owned(), json!(self.creator)),
                ("url".to_owned(), json!(url)),
                ("replace".to_owned(), json!(self.replace)),
            ])
        };
        FILES.go_on(api, (token, asked), body).await
    }
}
