//! The group that a step is about: by its id or by its name.

use connector::prelude::*;

use crate::group::{self, Id};

/// Says what is wrong with the two fields that name a group.
pub(crate) fn validate(id: Option<&Id>, name: Option<&str>) -> Result<(), String> {
    match (id, name.map(str::trim)) {
        (Some(_), None) => Ok(()),
        (None, Some("")) => Err("`groupName` is empty".to_owned()),
        (None, Some(_)) => Ok(()),
        (None, None) => Err("`groupId` or `groupName` is needed".to_owned()),
        (Some(_), Some(_)) => {
            Err("`groupId` and `groupName` exclude each other; give one".to_owned())
        }
    }
}

/// The same where the account is meant without a group.
pub(crate) fn validate_optional(id: Option<&Id>, name: Option<&str>) -> Result<(), String> {
    if id.is_none() && name.is_none() { Ok(()) } else { validate(id, name) }
}

/// The id of the group that the two fields name, if they name one. One that is called by its name
/// is looked up.
pub(crate) async fn find(api: &Api, id: Option<&Id>, name: Option<&str>) -> Result<Option<Id>> {
    Ok(match (id, name) {
        (Some(id), _) => Some(id.clone()),
        (None, Some(name)) => Some(group::by_name(api, name).await?.id),
        (None, None) => None,
    })
}

/// The id of the group that the two fields name.
pub(crate) async fn known(api: &Api, id: Option<&Id>, name: Option<&str>) -> Result<Id> {
    let found = find(api, id, name).await?;
    found.ok_or_else(|| Error::config("`groupId` or `groupName` is needed"))
}

/// What the account lacks where the fields name a group that it has not.
pub(crate) async fn lacks(api: &Api, id: Option<&Id>, name: Option<&str>) -> Result<Vec<String>> {
    let there = match (id, name) {
        (Some(id), _) => group::by_id(api, id).await.map(drop),
        (None, Some(name)) => group::by_name(api, name).await.map(drop),
        (None, None) => Ok(()),
    };
    match there {
        Err(Error::Config { reason }) => Ok(vec![reason]),
        there => there.map(|()| vec![]),
    }
}
