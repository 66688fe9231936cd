//! `upsertReceiver`: creates the receivers of a group and changes those that are there.

use std::collections::{HashMap, HashSet};

use connector::prelude::*;

use crate::group::{self, Group, Id};
use crate::in_group;
use crate::told::Told;
use crate::upsert::{self, Call, Receiver};
use crate::who::{By, Who};
use crate::{deletion, rejections};

/// Creates receivers in a group, or changes those that are there; an e-mail address is one
/// receiver of a group. A receiver that CleverReach refuses becomes a dead letter, the others go
/// on. The group is given by one of `groupId`, `groupName` and `groupFromCategories`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [
    { "groupName": "Newsletter", "activation": "doubleOptIn", "formId": 135790 }
]))]
pub(crate) struct UpsertReceiver {
    /// The group's id, as CleverReach shows it in the group's address and settings.
    #[serde(default)]
    group_id: Option<Id>,
    /// The group's name, matched without case and surrounding spaces; exactly one group must
    /// have it.
    #[serde(default)]
    group_name: Option<String>,
    /// Takes the group whose name is one of the contact's categories, matched like `groupName`.
    /// A contact whose categories name no group, or several, is refused.
    #[serde(default)]
    group_from_categories: bool,
    /// With `groupFromCategories`: of several groups, takes that of the first category.
    #[serde(default)]
    first_match: bool,
    /// What becomes of the state of a receiver.
    #[serde(default)]
    pub(crate) activation: Activation,
    /// With `activation: doubleOptIn`: the form whose confirmation mail new receivers get.
    #[serde(default)]
    pub(crate) form_id: Option<Id>,
    /// Writes empty values too, so that they erase what CleverReach has; otherwise they are left
    /// out. The default mapping then yields every attribute that it knows.
    #[serde(default)]
    pub(crate) erase_empty: bool,
    /// Takes away the tags that a known receiver has and the message does not, so that both have the
    /// same. Without it tags are added only.
    #[serde(default)]
    pub(crate) replace_tags: bool,
    /// Takes modifiers that add to a value or take from it. Sent twice they count twice, so such a
    /// step is not idempotent: each call is journaled, and one without an answer is in doubt.
    #[serde(default)]
    increments: bool,
    /// Takes requests for deletion (messages with `data.deleteRequested`): the receiver is deleted
    /// from the account, with all its groups. Without it such a message is refused.
    #[serde(default)]
    deletes: bool,
    /// With `deletes`: by what the default mapping names the receiver to delete.
    #[serde(default)]
    delete_by: By,
}

/// What becomes of the state of a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Activation {
    /// New receivers are created inactive and, with a `formId`, asked to confirm by mail; the
    /// state of known ones stays.
    #[default]
    DoubleOptIn,
    /// Receivers become active, also those that are new, never confirmed or unsubscribed.
    Active,
    /// As the contact's `consent` says: with `given` receivers become active, but for those that
    /// unsubscribed; with `withdrawn` they are unsubscribed; otherwise it is like `doubleOptIn`.
    Consent,
    /// Nothing is said about the state: that of known ones stays, CleverReach creates new ones
    /// active.
    Keep,
}

#[async_trait]
impl Action for UpsertReceiver {
    type Input = Receiver;
    /// Half of what clients of the API send at most; the vendor's own begin with 250 and halve on
    /// 413, as the engine does.
    const MAX_BATCH: usize = 500;
    const REJECTIONS: &'static [Rejection] = rejections::UPSERT;

    fn validate(&self) -> Result<(), String> {
        let name = self.group_name.as_deref();
        if name.is_some_and(|name| name.trim().is_empty()) {
            return Err("`groupName` is empty".to_owned());
        }
        let given = [self.group_id.is_some(), name.is_some(), self.group_from_categories];
        match given.into_iter().filter(|given| *given).count() {
            0 => {
                return Err("the group is not given: `groupId`, `groupName` or \
                            `groupFromCategories: true` is needed"
                    .to_owned());
            }
            1 => {}
            _ => {
                return Err(
                    "`groupId`, `groupName` and `groupFromCategories` exclude each other; \
                            give one"
                        .to_owned(),
                );
            }
        }
        if self.first_match && !self.group_from_categories {
            return Err("`firstMatch` goes with `groupFromCategories: true` only".to_owned());
        }
        if self.form_id.is_some()
            && !matches!(self.activation, Activation::DoubleOptIn | Activation::Consent)
        {
            return Err("`formId` goes with `activation: doubleOptIn` or `consent` only: with \
                        another one no mail is sent"
                .to_owned());
        }
        if self.delete_by != By::Email && !self.deletes {
            return Err("`deleteBy` goes with `deletes: true` only".to_owned());
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        if self.activation != Activation::DoubleOptIn || self.form_id.is_some() {
            return vec![];
        }
        let warning = "`activation` is `doubleOptIn` and there is no `formId`: new receivers are \
                       created inactive, and no mail asks them to confirm; give the `formId`, or \
                       choose `activation: active` or `keep`";
        vec![warning.to_owned()]
    }

    /// By e-mail address and group: what is there is changed to the same again. Tags are there or
    /// not, and orders that are there are not written again; only what is added to a value is added
    /// again.
    fn idempotent(&self) -> bool {
        !self.increments
    }

    async fn lacks(&self, api: &Api) -> Result<Vec<String>> {
        in_group::lacks(api, self.group_id.as_ref(), self.group_name.as_deref()).await
    }

    fn written(&self, receiver: &Receiver, value: &Value) -> Option<Value> {
        upsert::written(receiver, value)
    }

    async fn run(&self, api: &Api, batch: &Batch<Receiver>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut account = None;
        let mut mailed = HashSet::new();
        let mut carried_out = false;
        let calls = self.calls(api, batch, &mut outcomes).await?;
        for (nth, call) in calls.iter().enumerate() {
            let sent =
                upsert::send(self, api, call, (&mut account, &mut mailed), &mut outcomes).await;
            carried_out |= call.rows.iter().any(|(index, _)| !outcomes.is_unset(*index));
            match sent {
                Ok(()) => carried_out = true,
                // What was carried out stays told: sending it again could mail somebody twice.
                // The rest is sent again on its own and then fails as a whole.
                Err(error) if carried_out => {
                    if let Error::Retry { reason, after } | Error::HeldBack { reason, after } =
                        error
                    {
                        outcomes.fill(&Outcome::Retry { after, reason });
                    } else if !self.idempotent() {
                        // What was not sent yet is not in doubt.
                        let reason = format!("a call before this one failed: {error}");
                        for (index, _) in calls.iter().skip(nth + 1).flat_map(|call| &call.rows) {
                            let reason = reason.clone();
                            outcomes.set(*index, Outcome::Retry { after: None, reason });
                        }
                    }
                    return Ok(outcomes);
                }
                Err(error) => return Err(error),
            }
        }
        self.delete(api, batch, outcomes, carried_out).await
    }
}

impl UpsertReceiver {
    /// Sorts the batch into calls: one for each group, and another one for an address that comes
    /// again, since CleverReach refuses it twice in one list. What cannot be sent gets its
    /// outcome.
    async fn calls<'b>(
        &self,
        api: &Api,
        batch: &'b Batch<Receiver>,
        outcomes: &mut Outcomes,
    ) -> Result<Vec<Call<'b>>> {
        let mut rows: Vec<(usize, &Receiver)> = vec![];
        for (index, item) in batch.items.iter().enumerate().filter(|(_, it)| !it.input.delete) {
            match item.input.refusal(self.increments) {
                None => rows.push((index, &item.input)),
                Some(refusal) => outcomes.set(index, refusal),
            }
        }
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let groups = self.groups(api).await?;
        let mut calls: Vec<Call<'b>> = vec![];
        let mut times: HashMap<(Id, String), usize> = HashMap::new();
        for (index, receiver) in rows {
            let group = match groups.of(receiver, self.first_match) {
                Ok(group) => group,
                Err(refusal) => {
                    outcomes.set(index, refusal);
                    continue;
                }
            };
            let time = times.entry((group.clone(), receiver.address().to_lowercase())).or_insert(0);
            let place = calls.iter().position(|call| call.group == *group && call.time == *time);
            match place.and_then(|place| calls.get_mut(place)) {
                Some(call) => call.rows.push((index, receiver)),
                None => calls.push(Call {
                    group: group.clone(),
                    time: *time,
                    rows: vec![(index, receiver)],
                }),
            }
            *time += 1;
        }
        Ok(calls)
    }

    /// Deletes whose deletion is asked for, behind what is written: whoever is both written and
    /// deleted by one batch is deleted.
    async fn delete(
        &self,
        api: &Api,
        batch: &Batch<Receiver>,
        outcomes: Outcomes,
        carried_out: bool,
    ) -> Result<Outcomes> {
        let mut told = Told::with(outcomes, carried_out);
        let mut rows = vec![];
        for (index, item) in batch.items.iter().enumerate().filter(|(_, it)| it.input.delete) {
            match Who::of(item.input.id.as_ref(), &item.input.email) {
                Err(refusal) => told.refuse(index, refusal),
                Ok(who) if !self.deletes => {
                    let reason = format!("{} {} is to be deleted", who.said(), who.text());
                    told.refuse(index, rejections::NO_DELETES.because(reason));
                }
                Ok(who) => rows.push((index, who)),
            }
        }
        let sent = deletion::from_account(api, &rows, &mut told).await;
        told.end(sent)
    }

    /// Looks the groups up, once a batch.
    async fn groups(&self, api: &Api) -> Result<Groups> {
        Ok(match (&self.group_id, &self.group_name) {
            (Some(id), _) => Groups::One(id.clone()),
            (None, Some(name)) => Groups::One(group::by_name(api, name).await?.id),
            (None, None) => Groups::ByCategory(group::all(api).await?),
        })
    }
}

/// Which groups receivers go to.
enum Groups {
    One(Id),
    ByCategory(Vec<Group>),
}

impl Groups {
    fn of(&self, receiver: &Receiver, first_match: bool) -> Result<&Id, Outcome> {
        match self {
            Self::One(id) => Ok(id),
            Self::ByCategory(groups) => {
                group::by_categories(groups, &receiver.categories, first_match)
                    .map(|group| &group.id)
            }
        }
    }
}
