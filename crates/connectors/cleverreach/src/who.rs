//! Which receiver a message is about.

use connector::prelude::*;

use crate::group::Id;
use crate::rejections;

/// By what the default mapping names a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum By {
    /// By the contact's e-mail address; without one by the record's key, if that is an address.
    #[default]
    Email,
    /// By the record's key, which has to be the receiver's id in this account: another account, or
    /// another system, knows the person by another id.
    RecordUid,
}

/// A receiver as it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who<'a> {
    Id(&'a Id),
    Email(&'a str),
}

impl<'a> Who<'a> {
    /// The receiver with this id, or else this address; the refusal if there is neither.
    pub(crate) fn of(id: Option<&'a Id>, email: &'a str) -> Result<Self, Outcome> {
        if let Some(id) = id {
            return Ok(Self::Id(id));
        }
        Ok(Self::Email(address(email)?))
    }

    /// The id or the address, as a path has it.
    pub(crate) fn text(self) -> &'a str {
        match self {
            Self::Id(id) => &id.0,
            Self::Email(email) => email,
        }
    }

    /// What it is, as results name it.
    pub(crate) const fn named(self) -> &'static str {
        match self {
            Self::Id(_) => "id",
            Self::Email(_) => "email",
        }
    }

    /// What it is, as reasons say it.
    pub(crate) const fn said(self) -> &'static str {
        match self {
            Self::Id(_) => "id",
            Self::Email(_) => "address",
        }
    }

    /// The same for the same receiver, whatever the case of the address.
    pub(crate) fn key(self) -> String {
        match self {
            Self::Id(id) => id.0.clone(),
            Self::Email(email) => email.to_lowercase(),
        }
    }
}

/// An address without the spaces around it; the refusal of what is none.
pub(crate) fn address(email: &str) -> Result<&str, Outcome> {
    let email = email.trim();
    if email.is_empty() {
        return Err(rejections::NO_EMAIL.because("the message names no receiver"));
    }
    // A comma would be two addresses where receivers are looked up.
    if !email.contains('@') || email.contains(|c: char| c.is_whitespace() || c == ',') {
        let reason = format!("\"{email}\" is not an e-mail address");
        return Err(rejections::INVALID_ADDRESS.because(reason));
    }
    Ok(email)
}
