//! The contact master data model: what contacts look like between systems.
//!
//! The shape is Open Integration Hub's `personV2` with its parts; every property is optional. That
//! model is open to further properties of a person; `company` and `consent` are ours.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contact {
    /// An academic or other title: `Dr.`.
    pub title: Option<String>,
    /// How the person is addressed: `Frau`.
    pub salutation: Option<String>,
    /// The given name.
    pub first_name: Option<String>,
    /// Names between the given and the family name.
    pub middle_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// `male`, `female`, `intersexual` or empty.
    pub gender: Option<Gender>,
    /// The day of birth, usually `YYYY-MM-DD`.
    pub birthday: Option<String>,
    /// Free text.
    pub notes: Option<String>,
    /// The name as shown.
    pub display_name: Option<String>,
    /// The preferred language.
    pub language: Option<String>,
    /// A nickname.
    pub nickname: Option<String>,
    /// The position at work.
    pub job_title: Option<String>,
    /// The name of the organization that the person works for.
    pub company: Option<String>,
    /// Whether the person agreed to get mail.
    pub consent: Option<Consent>,
    /// The address of a picture.
    pub photo: Option<String>,
    /// A day to remember.
    pub anniversary: Option<String>,
    /// Postal addresses.
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// Ways to reach the person.
    #[serde(default)]
    pub contact_data: Vec<ContactData>,
    /// Calendars.
    #[serde(default)]
    pub calendars: Vec<Calendar>,
    /// What the person belongs to.
    #[serde(default)]
    pub categories: Vec<Category>,
}

/// A person's gender, in the model's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gender {
    /// Male.
    Male,
    /// Female.
    Female,
    /// Intersexual.
    Intersexual,
    /// Not told.
    #[serde(rename = "")]
    Unknown,
}

/// Whether a person agreed to get mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// The person agreed.
    Given,
    /// The person was asked and has not confirmed yet.
    Pending,
    /// The person agreed once and wants no more mail.
    Withdrawn,
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Address {
    /// The street.
    pub street: Option<String>,
    /// The house number; a number in the model, a string in its own example, so both.
    pub street_number: Option<serde_json::Value>,
    /// A flat, a floor.
    pub unit: Option<String>,
    /// The postal code.
    pub zip_code: Option<String>,
    /// The city.
    pub city: Option<String>,
    /// The district.
    pub district: Option<String>,
    /// The region or state.
    pub region: Option<String>,
    /// The country's name.
    pub country: Option<String>,
    /// The country's code.
    pub country_code: Option<String>,
    /// Whom to ask for.
    pub primary_contact: Option<String>,
    /// What the address is: `primary`.
    pub label: Option<String>,
}

/// One way to reach a person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContactData {
    /// The number, address or link.
    pub value: String,
    /// `email`, `phone`, `mobile`, `url`, `fax`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// More about it: `businessMobile`.
    pub label: Option<String>,
    /// `primary`, `private`, …
    pub description: Option<String>,
}

/// A calendar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Calendar {
    /// The calendar's address.
    pub calendar: Option<String>,
    /// Where free and busy times are.
    pub busy_calendar: Option<String>,
    /// Where requests go.
    pub request_calendar: Option<String>,
    /// What the calendar is: `primary`.
    pub label: Option<String>,
}

/// What a person belongs to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Category {
    /// The category's name.
    pub name: Option<String>,
    /// The category's label.
    pub label: Option<String>,
}
