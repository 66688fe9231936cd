//! `uploadCatalog`: uploads a catalogue of products.

use std::borrow::Cow;

use connector::prelude::*;
use serde_json::Map;

use crate::rejections;
use crate::staged::{self, Asked, Kind};

const FILES: Kind = Kind {
    address: ("get_catalog_url", "POST /get_catalog_url"),
    completed: ("upload_catalog_completed", "POST /upload_catalog_completed"),
};

/// The columns that every catalogue has, and the most that it may have.
const MANDATORY: [&str; 4] = ["Identity", "Name", "ImageURL", "Category"];
const MOST_COLUMNS: usize = 20;

/// Uploads a catalogue of products, a message a catalogue. CleverTap gives an address, the file goes
/// there, and CleverTap is told: each stage is kept before its request leaves, and what breaks off goes
/// on at its stage. What CleverTap makes of the file it mails to `email`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "name": "Product_Catalog", "creator": "Jane", "email": "jane@example.com", "replace": true
}]))]
pub(crate) struct UploadCatalog {
    /// The catalogue's name in CleverTap, where a message gives none of its own.
    name: String,
    /// Who uploads it.
    creator: String,
    /// Where CleverTap mails what it made of the file.
    email: String,
    /// Replaces the catalogue of this name.
    #[serde(default)]
    replace: bool,
    /// Overrides what is there, as CleverTap puts it.
    #[serde(rename = "override", default)]
    overriding: bool,
    /// It is a catalogue of places.
    #[serde(default)]
    is_location_catalog: bool,
}

/// A catalogue.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "rows": [{
    "Identity": "SN-1", "Name": "Jeans", "ImageURL": "https://example.com/1.png", "Category": "Wear"
}] }]))]
pub(crate) struct Catalog {
    /// Its name, in place of the field `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its rows: each has `Identity`, `Name`, `ImageURL` and `Category`, and up to 16 columns more.
    #[serde(default)]
    rows: Vec<Map<String, Value>>,
}

impl Catalog {
    fn csv(&self) -> Result<String, Outcome> {
        if self.rows.is_empty() {
            return Err(rejections::NO_ROWS.because("the catalogue has no rows"));
        }
        let mut columns = MANDATORY.to_vec();
        for key in self.rows.iter().flat_map(Map::keys) {
            if columns.contains(&key.as_str()) {
                continue;
            }
            if columns.len() == MOST_COLUMNS {
                let why =
                    format!("the catalogue has more columns than {MOST_COLUMNS}, as \"{key}\"");
                return Err(rejections::BAD_ROW.because(why));
            }
            columns.push(key);
        }
        let mut csv = String::new();
        staged::line(&mut csv, columns.iter().copied());
        for (number, row) in (1..).zip(&self.rows) {
            let cells = columns.iter().map(|column| cell(row.get(*column)));
            let Some(cells) = cells.collect::<Option<Vec<_>>>() else {
                let why = format!("row {number} has a value that is a list or an object");
                return Err(rejections::BAD_ROW.because(why));
            };
            if let Some((missing, _)) =
                MANDATORY.iter().zip(&cells).find(|(_, cell)| cell.trim().is_empty())
            {
                let other = row.keys().find(|key| key.eq_ignore_ascii_case(missing));
                let other = other.filter(|key| key != missing);
                let hint = other.map(|key| format!("; its `{key}` is written otherwise"));
                let why = format!("row {number} has no {missing}{}", hint.unwrap_or_default());
                return Err(rejections::BAD_ROW.because(why));
            }
            staged::line(&mut csv, cells.iter().map(|cell| &**cell));
        }
        if csv.len() > staged::LARGEST {
            return Err(rejections::TOO_LARGE.because(format!("the file has {} bytes", csv.len())));
        }
        Ok(csv)
    }
}

fn cell(value: Option<&Value>) -> Option<Cow<'_, str>> {
    match value {
        None | Some(Value::Null) => Some(Cow::Borrowed("")),
        Some(Value::String(text)) => Some(Cow::Borrowed(text)),
        Some(Value::Array(_) | Value::Object(_)) => None,
        Some(plain) => Some(Cow::Owned(plain.to_string())),
    }
}

#[async_trait]
impl Action for UploadCatalog {
    type Input = Catalog;
    const REJECTIONS: &'static [Rejection] = rejections::CATALOG;

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

    async fn run(&self, api: &Api, batch: &Batch<Catalog>) -> Result<Outcomes> {
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

impl UploadCatalog {
    async fn go_on(&self, api: &Api, token: &str, asked: Asked) -> Result<Outcome> {
        let body = |name: &str, url: &str| {
            Map::from_iter([
                ("name".to_owned(), json!(name)),
                ("creator".to_owned(), json!(self.creator)),
                ("email".to_owned(), json!(self.email)),
                ("url".to_owned(), json!(url)),
                ("replace".to_owned(), json!(self.replace)),
                ("override".to_owned(), json!(self.overriding)),
                ("isLocationCatalog".to_owned(), json!(self.is_location_catalog)),
            ])
        };
        FILES.go_on(api, (token, asked), body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(rows: Value) -> Result<String, String> {
        let catalog: Catalog = serde_json::from_value(json!({ "rows": rows })).unwrap();
        catalog.csv().map_err(|refusal| match refusal {
            Outcome::Rejected { code, .. } => code,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_catalogue_becomes_a_file() {
        let row = |name: &str, more: Value| {
            let mut row = json!({ "Name": name, "Identity": 1, "ImageURL": "u", "Category": "c" });
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            row
        };
        let rows = json!([
            row("Jeans, \"blue\"", json!({ "Price": 59.9 })),
            row("Two\nlines", json!({ "Sale": true, "Price": null })),
        ]);
        let expected = "Identity,Name,ImageURL,Category,Price,Sale\n\
            1,\"Jeans, \"\"blue\"\"\",u,c,59.9,\n1,\"Two\nlines\",u,c,,true\n";
        assert_eq!(csv(rows).unwrap(), expected);
        let many: Map<_, _> = (0..17).map(|n| (format!("c{n}"), json!(n))).collect();
        for (rows, code) in [
            (json!([]), "noRows"),
            (json!([{ "Identity": "1", "Name": "n", "ImageURL": "u" }]), "badRow"),
            (json!([row(" ", json!({}))]), "badRow"),
            (json!([row("n", json!({ "Sizes": [1, 2] }))]), "badRow"),
            (json!([row("n", Value::Object(many))]), "badRow"),
        ] {
            assert_eq!(csv(rows.clone()).unwrap_err(), code, "{rows}");
        }
    }
}
