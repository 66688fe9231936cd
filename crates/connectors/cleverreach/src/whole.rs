//! A receiver with all its groups: asked of those that are new or changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use connector::prelude::*;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::Map;

use crate::group::{self, Id};
use crate::look::Look;
use crate::receivers::receivers;
use crate::stamps::{self, Field, Known};

/// Up to so many receivers are asked for one by one; of more it is looked up whether there are fewer
/// groups than receivers: then the groups are asked instead.
const FEW: usize = 3;
/// So many are asked for at once.
pub(crate) const AT_ONCE: usize = 4;
/// So many ids go into the address of one request: servers refuse longer lines than 8,000 or so.
const IDS: usize = 400;
/// What a group has of its own about a receiver.
const OWN: [&str; 6] =
    ["active", "registered", "activated", "deactivated", "bounced", "attributes"];

/// A receiver as one of its groups has it.
pub(crate) struct View {
    group: String,
    pub(crate) record: Record,
}

/// A group that a receiver is in; its name if that is told.
struct Membership {
    id: String,
    name: Option<String>,
}

/// Asks for the groups of receivers, and how each of them has the receiver. `group` is the only one
/// that is read: who is not in it is nowhere, and the record is as this group has it. Without one the
/// lists of all groups are read, so that each of them has a part.
pub(crate) async fn complete(
    api: &Api,
    found: Vec<Record>,
    look: &Look,
    group: Option<&str>,
) -> Result<Vec<Option<Completed>>> {
    let (views, names) = views(api, &found, look).await?;
    found
        .iter()
        .map(|record| {
            let views = views.get(&record.key).map(Vec::as_slice).unwrap_or_default();
            let is_there = match group {
                Some(group) => views.iter().any(|view| view.group == group),
                None => !views.is_empty(),
            };
            if !is_there {
                return missing(record);
            }
            let listed = stamps::part(record);
            let completed = whole(views, &names, group)?.map(|record| {
                let parts = views.iter().filter(|view| {
                    group.is_none() && listed.as_ref() != Some(&view.group) && is_listed(view, look)
                });
                let parts = parts.map(|it| (it.group.clone(), it.record.clone())).collect();
                Completed { record, parts }
            });
            Ok(completed)
        })
        .collect()
}

/// Whether a record is a receiver as a list or a filter gave it, and not the mention of one.
pub(crate) fn is_receiver(record: &Record) -> bool {
    Known::of(&record.data).is_some_and(|known| Id::of(&known.id).is_some())
}

/// What becomes of a receiver that is not there. One that was listed a moment ago is asked for again:
/// it would not come with the next poll.
pub(crate) fn missing(record: &Record) -> Result<Option<Completed>> {
    if !is_receiver(record) {
        return Ok(None);
    }
    Err(Error::retry(format!(
        "CleverReach listed receiver {} a moment ago, and has it in no group now",
        record.key
    )))
}

/// Whether a scan gives the receiver as this group has it.
fn is_listed(view: &View, look: &Look) -> bool {
    let known = Known::of(&view.record.data).unwrap_or_default();
    look.kind.admits(known.is_active(), known.stamp(Field::Bounced).unwrap_or_default())
}

/// One record of all views, the same in whichever order they came: the one of the group that is read,
/// or else of the first, and under `groups` what each has of its own.
fn whole(
    views: &[View],
    names: &HashMap<String, String>,
    group: Option<&str>,
) -> Result<Option<Record>> {
    let mut views: Vec<&View> = views.iter().collect();
    views.sort_by_key(|view| (view.group.len(), &view.group));
    let read = views.iter().find(|view| group == Some(&view.group));
    let Some(first) = read.or(views.first()) else { return Ok(None) };
    let mut data = object(&first.record)?;
    let mut groups = vec![];
    for view in &views {
        let own = object(&view.record)?;
        let mut group = Map::from_iter([("id".to_owned(), json!(view.group))]);
        if let Some(name) = names.get(&view.group) {
            group.insert("name".to_owned(), json!(name));
        }
        let own = own.into_iter().filter(|(key, _)| OWN.contains(&key.as_str()));
        group.extend(own);
        groups.push(Value::Object(group));
    }
    data.insert("groups".to_owned(), Value::Array(groups));
    let version = views.iter().filter_map(|view| view.record.version).max();
    Record::new(first.record.key.clone(), version, &data).map(Some)
}

fn object(record: &Record) -> Result<Map<String, Value>> {
    serde_json::from_str(record.data.get())
        .map_err(|_| Error::retry(format!("receiver {} is no object", record.key)))
}

type Views = HashMap<String, Vec<View>>;

/// How each group has each of the receivers, by the receiver's id, and the names of the groups.
async fn views(
    api: &Api,
    found: &[Record],
    look: &Look,
) -> Result<(Views, HashMap<String, String>)> {
    if found.len() > FEW {
        let groups = group::all(api).await?;
        let names: HashMap<_, _> = groups.iter().map(named).collect();
        let groups: Vec<_> = groups.iter().map(|group| (group, unseen(found, &group.id))).collect();
        let requests: usize = groups.iter().map(|(_, ids)| ids.len().div_ceil(IDS)).sum();
        if requests <= found.len()
            && let Some(views) = by_lists(api, found, &groups, look).await?
        {
            return Ok((views, names));
        }
    }
    one_by_one(api, found, look).await
}

fn named(group: &group::Group) -> (String, String) {
    (group.id.0.clone(), group.name().to_owned())
}

/// The ids of those receivers that were not found in a group itself.
fn unseen<'f>(found: &'f [Record], group: &Id) -> Vec<&'f str> {
    let unseen = found.iter().filter(|record| stamps::part(record).as_ref() != Some(&group.0));
    unseen.map(|record| record.key.as_str()).collect()
}

/// Asks every group for those of the receivers that it has and was not found to have; `None` if the
/// API gives others.
async fn by_lists(
    api: &Api,
    found: &[Record],
    groups: &[(&group::Group, Vec<&str>)],
    look: &Look,
) -> Result<Option<Views>> {
    let mut views = Views::new();
    for record in found {
        if let Some(group) = stamps::part(record) {
            let view = view(record.data.clone(), &group, look)?;
            views.entry(record.key.clone()).or_default().push(view);
        }
    }
    let mut requests = vec![];
    for (group, ids) in groups {
        for ids in ids.chunks(IDS) {
            requests.push(async move { list(api, group, ids, look).await.map(|it| (ids, it)) });
        }
    }
    let mut answers = stream::iter(requests).buffered(AT_ONCE);
    while let Some((ids, (group, answer))) = answers.try_next().await? {
        let asked: HashSet<&str> = ids.iter().copied().collect();
        for receiver in receivers(&answer)? {
            let view = view(receiver, &group.id.0, look)?;
            if !asked.contains(view.record.key.as_str()) {
                return Ok(None);
            }
            views.entry(view.record.key.clone()).or_default().push(view);
        }
    }
    Ok(Some(views))
}

async fn list<'g>(
    api: &Api,
    group: &'g group::Group,
    ids: &[&str],
    look: &Look,
) -> Result<(&'g group::Group, Response)> {
    let request = api.get(["groups.json", &group.id.0, "receivers"]);
    let request = request
        .query("id_list", ids.join(","))
        .query("pagesize", ids.len())
        .query("page", 0)
        .query("type", "all")
        .query("detail", look.bits());
    Ok((group, request.send().await?))
}

/// Asks each receiver for its groups, and each of these for the receiver unless it was found there.
async fn one_by_one(
    api: &Api,
    found: &[Record],
    look: &Look,
) -> Result<(Views, HashMap<String, String>)> {
    let asked: Vec<_> = found.iter().map(|record| memberships(api, &record.key)).collect();
    let asked: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    let mut names = BTreeMap::new();
    for membership in asked.iter().flatten() {
        names.entry(membership.id.clone()).or_insert_with(|| membership.name.clone());
    }
    let mut names: HashMap<_, _> = if names.values().all(Option::is_some) || names.is_empty() {
        names.into_iter().filter_map(|(id, name)| Some((id, name?))).collect()
    } else {
        group::all(api).await?.iter().map(named).collect()
    };
    names.retain(|_, name| !name.is_empty());
    let mut wanted = vec![];
    for (record, memberships) in found.iter().zip(&asked) {
        for membership in memberships {
            wanted.push(seen_by(api, record, &membership.id, look));
        }
    }
    let found: Vec<_> = stream::iter(wanted).buffered(AT_ONCE).try_collect().await?;
    let mut views = Views::new();
    for view in found {
        views.entry(view.record.key.clone()).or_default().push(view);
    }
    Ok((views, names))
}

/// Asks a group for a receiver of it, unless it was found there.
async fn seen_by(api: &Api, record: &Record, group: &str, look: &Look) -> Result<View> {
    if stamps::part(record).as_deref() == Some(group) {
        return view(record.data.clone(), group, look);
    }
    match alone(api, record, group, look).await? {
        Some(view) => Ok(view),
        None => Err(Error::retry(format!(
            "CleverReach has receiver {} in group {group}, and has no such receiver there",
            record.key
        ))),
    }
}

/// Asks a group for a receiver; `None` if it has none such.
pub(crate) async fn alone(
    api: &Api,
    record: &Record,
    group: &str,
    look: &Look,
) -> Result<Option<View>> {
    let request = api.get(["groups.json", group, "receivers", &record.key]);
    let request = request.query("detail", look.bits()).accept(StatusCode::NOT_FOUND);
    let answer = request.send().await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let view = view(one_of(&answer)?, group, look)?;
    if view.record.key != record.key {
        return Err(answer.nonsense("with another receiver than was asked for"));
    }
    Ok(Some(view))
}

/// The vendor's own SDK reads both an object and a list of one.
fn one_of(answer: &Response) -> Result<Box<RawValue>> {
    let raw: Box<RawValue> = answer.json()?;
    if !raw.get().trim_start().starts_with('[') {
        return Ok(raw);
    }
    let list: Vec<Box<RawValue>> = answer.json()?;
    let [one] = <[Box<RawValue>; 1]>::try_from(list)
        .map_err(|_| answer.nonsense("with several receivers where one was asked for"))?;
    Ok(one)
}

fn view(receiver: Box<RawValue>, group: &str, look: &Look) -> Result<View> {
    let known = Known::of(&receiver).unwrap_or_default();
    let record = stamps::record(receiver, &known, &format!("group {group}"))?;
    let mut data = object(&record)?;
    // What comes along unasked would make another record of it than a list has.
    for unasked in look.unasked() {
        data.remove(unasked);
    }
    let record = Record::new(record.key, record.version, &data)?;
    Ok(View { group: group.to_owned(), record })
}

/// The groups of a receiver; none if there is no such receiver. How they are listed is not
/// documented: groups, or their ids.
async fn memberships(api: &Api, receiver: &str) -> Result<Vec<Membership>> {
    let request = api.get(["receivers.json", receiver, "groups"]);
    let answer = request.accept(StatusCode::NOT_FOUND).send().await?;
    if matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::NO_CONTENT) {
        return Ok(vec![]);
    }
    let nonsense = || answer.nonsense("with something else than a list of groups");
    let Value::Array(list) = answer.json()? else { return Err(nonsense()) };
    let memberships = list.iter().map(|group| {
        let ids = ["id", "group_id", "groups_id"].iter().filter_map(|key| group.get(key));
        let id = ids.chain([group]).find_map(Id::of)?;
        let name = group.get("name").and_then(Value::as_str).map(|name| name.trim().to_owned());
        Some(Membership { id: id.0, name })
    });
    let memberships: Option<Vec<_>> = memberships.collect();
    let mut known = HashSet::new();
    let mut memberships = memberships.ok_or_else(nonsense)?;
    memberships.retain(|membership| known.insert(membership.id.clone()));
    Ok(memberships)
}
