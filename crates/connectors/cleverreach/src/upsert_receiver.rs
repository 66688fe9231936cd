//! `upsertReceiver`: creates the receivers of a group and changes those that are there.

use std::collections::{HashMap, HashSet};

use connector::prelude::*;
use serde_json::Map;

use crate::group::{self, Group, Id};
use crate::rejections;
use crate::upsert::{self, Call};

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
    /// Nothing is said about the state: that of known ones stays, CleverReach creates new ones
    /// active.
    Keep,
}

/// One receiver.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "email": "ada@example.com",
    "attributes": { "firstname": "Ada", "customer_number": "C-7" },
    "tags": ["vip"]
}]))]
pub(crate) struct Receiver {
    /// The e-mail address, by which CleverReach knows a receiver of a group. Without one the
    /// message is refused.
    #[serde(default)]
    pub(crate) email: String,
    /// Texts and numbers by attribute, written to the group's attribute of that name and to the
    /// account's, whichever there are. What neither has is left out and named in the result; true
    /// and false are refused.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) attributes: Map<String, Value>,
    /// Values for the account's attributes alone; they go before `attributes`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) global_attributes: Map<String, Value>,
    /// Tags to add. A hyphen in front is left out and `*` becomes `_`: both would take tags away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// Where a new receiver comes from; `Towpath` if it is left out. Not written for known ones,
    /// except with `activation: keep`, which does not look up who is known and sends what is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// With `groupFromCategories`: the names to find the group by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) categories: Vec<String>,
    /// What is known of the sign-up; it goes with the confirmation mail, empty if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) doidata: Option<SignUp>,
}

/// What is known of a sign-up, as proof of consent. What is left out is sent empty.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SignUp {
    /// The address of the person's computer.
    user_ip: String,
    /// The page on which the person signed up.
    referer: String,
    /// The person's program.
    user_agent: String,
}

impl Receiver {
    pub(crate) fn address(&self) -> &str {
        self.email.trim()
    }

    /// What keeps the receiver from being sent at all.
    fn refusal(&self) -> Option<Outcome> {
        let email = self.address();
        if email.is_empty() {
            return Some(rejections::NO_EMAIL.because("the receiver has no e-mail address"));
        }
        // A comma would be two addresses where known receivers are looked up.
        if !email.contains('@') || email.contains(|c: char| c.is_whitespace() || c == ',') {
            let reason = format!("\"{email}\" is not an e-mail address");
            return Some(rejections::INVALID_ADDRESS.because(reason));
        }
        let mut attributes = self.attributes.iter().chain(&self.global_attributes);
        let odd = |value: &Value| value.is_boolean() || value.is_array() || value.is_object();
        attributes.find(|(_, value)| odd(value)).map(|(name, _)| {
            let reason = format!("the attribute `{name}` is neither text nor a number");
            rejections::BAD_ATTRIBUTE.because(reason)
        })
    }
}

#[async_trait]
impl Action for UpsertReceiver {
    type Input = Receiver;
    /// Half of what clients of the API send at most; the vendor's own begin with 250 and halve on
    /// 413, as the engine does.
    const MAX_BATCH: usize = 500;
    const REJECTIONS: &'static [Rejection] = rejections::ALL;

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
        if self.form_id.is_some() && self.activation != Activation::DoubleOptIn {
            return Err("`formId` goes with `activation: doubleOptIn` only: with another one no \
                        mail is sent"
                .to_owned());
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

    /// By e-mail address and group: what is there is changed to the same again.
    fn idempotent(&self) -> bool {
        true
    }

    fn written(&self, receiver: &Receiver, value: &Value) -> Option<Value> {
        Some(upsert::written(receiver, value))
    }

    async fn run(&self, api: &Api, batch: &Batch<Receiver>) -> Result<Outcomes> {
        let mut outcomes = batch.outcomes();
        let mut account = None;
        let mut mailed = HashSet::new();
        let mut carried_out = false;
        for call in self.calls(api, batch, &mut outcomes).await? {
            let sent =
                upsert::send(self, api, &call, (&mut account, &mut mailed), &mut outcomes).await;
            carried_out |= call.rows.iter().any(|(index, _)| !outcomes.is_unset(*index));
            match sent {
                Ok(()) => carried_out = true,
                // What was carried out stays told: sending it again could mail somebody twice.
                // The rest is sent again on its own and then fails as a whole.
                Err(error) if carried_out => {
                    if let Error::Retry { reason, after } = error {
                        outcomes.fill(&Outcome::Retry { after, reason });
                    }
                    return Ok(outcomes);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
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
        for (index, item) in batch.items.iter().enumerate() {
            match item.input.refusal() {
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
