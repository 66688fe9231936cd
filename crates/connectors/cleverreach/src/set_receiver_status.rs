//! `setReceiverStatus`: activates and deactivates receivers of a group.

use connector::prelude::*;

use crate::group::Id;
use crate::members::{Detail, Member, Members};
use crate::taken::taken;
use crate::told::Told;
use crate::who::{By, Who};
use crate::{in_group, rejections};

/// Activates or deactivates receivers of a group. One that is so already stays as it is, and keeps
/// its dates. Deactivating one that is not in the group is done; activating it is refused.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "groupName": "Newsletter", "status": "inactive" }]))]
pub(crate) struct SetReceiverStatus {
    /// The group's id, as CleverReach shows it in the group's address and settings.
    #[serde(default)]
    group_id: Option<Id>,
    /// The group's name, matched without case and surrounding spaces; exactly one group must
    /// have it.
    #[serde(default)]
    group_name: Option<String>,
    /// What all receivers become. Without it the default mapping goes by the contact's `consent`:
    /// `given` is active, `withdrawn` is inactive.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it")]
    status: Option<Status>,
    /// Activates those too that unsubscribed; otherwise they are refused. Only for people who said
    /// so: whoever unsubscribed has told CleverReach that they want no mail.
    #[serde(default)]
    resubscribe: bool,
    /// By what the default mapping names the receiver.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it")]
    by: By,
}

/// Whether a receiver gets mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// It gets mail.
    Active,
    /// It gets none.
    Inactive,
}

/// A receiver, and what it becomes.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "email": "ada@example.com", "status": "inactive" }]))]
pub(crate) struct Switched {
    /// The receiver's id. It goes before `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    /// The receiver's e-mail address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    email: String,
    /// What it becomes. Without one the message is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[async_trait]
impl Action for SetReceiverStatus {
    type Input = Switched;
    const MAX_BATCH: usize = 100;
    const REJECTIONS: &'static [Rejection] = rejections::STATUS;

    fn validate(&self) -> Result<(), String> {
        in_group::validate(self.group_id.as_ref(), self.group_name.as_deref())
    }

    /// One that is active is not activated again.
    fn idempotent(&self) -> bool {
        true
    }

    async fn lacks(&self, api: &Api) -> Result<Vec<String>> {
        in_group::lacks(api, self.group_id.as_ref(), self.group_name.as_deref()).await
    }

    async fn run(&self, api: &Api, batch: &Batch<Switched>) -> Result<Outcomes> {
        let mut told = Told::new(batch.outcomes());
        let mut rows = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            let input = &*item.input;
            match (Who::of(input.id.as_ref(), &input.email), input.status) {
                (Err(refusal), _) => told.refuse(index, refusal),
                (Ok(_), None) => told.refuse(index, no_status()),
                (Ok(who), Some(status)) => rows.push((index, who, status)),
            }
        }
        if rows.is_empty() {
            return told.end(Ok(()));
        }
        let named = (self.group_id.as_ref(), self.group_name.as_deref());
        let group = in_group::known(api, named.0, named.1).await?;
        let all: Vec<Who<'_>> = rows.iter().map(|(_, who, _)| *who).collect();
        let members = Members::ask(api, &group, &all, Detail::PLAIN).await?;
        let sent = self.switch(api, &group, &members, &rows, &mut told).await;
        told.end(sent)
    }
}

impl SetReceiverStatus {
    async fn switch(
        &self,
        api: &Api,
        group: &Id,
        members: &Members,
        rows: &[(usize, Who<'_>, Status)],
        told: &mut Told,
    ) -> Result<()> {
        for (index, who, status) in rows {
            let Some(member) = members.get(*who) else {
                match status {
                    Status::Inactive => told.note(*index, Ok(nobody(group, *who)))?,
                    Status::Active => told.refuse(*index, rejections::not_in(group, *who)),
                }
                continue;
            };
            // One that never confirmed could still do so: it is deactivated too.
            let already = match status {
                Status::Active => member.is_active(),
                Status::Inactive => member.is_unsubscribed(),
            };
            if already {
                told.note(*index, Ok(done(group, member, *status, false)))?;
            } else if *status == Status::Active && member.is_unsubscribed() && !self.resubscribe {
                told.refuse(*index, unsubscribed(member));
            } else {
                told.note(*index, one(api, group, member, *status).await)?;
            }
        }
        Ok(())
    }
}

async fn one(api: &Api, group: &Id, member: &Member, status: Status) -> Result<Outcome> {
    let verb = match status {
        Status::Active => "activate",
        Status::Inactive => "deactivate",
    };
    let who = member.id.as_ref().map_or(member.email.as_str(), |id| id.0.as_str());
    let path = ["groups.json", &group.0, "receivers", who, verb];
    let answer = api.request(Method::PUT, path).send().await?;
    if answer.status() != StatusCode::NO_CONTENT && taken(&answer)? == json!(false) {
        let reason = format!("CleverReach answered false to {verb} {}", member.email);
        return Ok(rejections::REFUSED.because(reason));
    }
    Ok(done(group, member, status, true))
}

fn done(group: &Id, member: &Member, status: Status, changed: bool) -> Outcome {
    let target_key = member.id.as_ref().map(|id| id.0.clone());
    let value = json!({
        "id": target_key, "email": member.email, "groupId": group, "status": status,
        "changed": changed,
    });
    Outcome::Done { value, target_key }
}

fn nobody(group: &Id, who: Who<'_>) -> Outcome {
    Outcome::done(json!({ who.named(): who.text(), "groupId": group, "changed": false }))
}

fn no_status() -> Outcome {
    rejections::NO_STATUS.because("the message does not say whether the receiver becomes active")
}

fn unsubscribed(member: &Member) -> Outcome {
    let reason = format!("{} unsubscribed, and is not activated", member.email);
    rejections::UNSUBSCRIBED.because(reason)
}
