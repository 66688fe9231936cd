//! The mail by which a new receiver confirms its address.

use connector::prelude::*;

use crate::group::Id;
use crate::upsert_receiver::Receiver;

/// A form whose mail is sent, until one of them fails.
pub(super) struct Form<'a> {
    id: &'a Id,
    /// What the others of the call get too: whatever stands against one mail stands against them.
    failed: Option<Error>,
}

impl<'a> Form<'a> {
    pub(super) const fn new(id: &'a Id) -> Self {
        Self { id, failed: None }
    }

    /// Sends the mail to a receiver that was created; the outcome if it did not leave.
    pub(super) async fn confirm(
        &mut self,
        api: &Api,
        receiver: &Receiver,
        id: Option<&Id>,
    ) -> Option<Outcome> {
        let sent = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.send(api, receiver).await,
        };
        let error = sent.err()?;
        let outcome = match &error {
            // It is sent again as one that was created a moment ago.
            Error::Retry { reason, after } => {
                Outcome::Retry { after: *after, reason: reason.clone() }
            }
            Error::Unknown { reason } | Error::Unauthorized { reason } => {
                Outcome::Retry { after: None, reason: reason.clone() }
            }
            Error::TooLarge { reason }
            | Error::Reject { reason, .. }
            | Error::Config { reason } => {
                let id = id.map_or_else(String::new, |id| format!(" (id {})", id.0));
                let reason = format!(
                    "the receiver is there, inactive{id}, but no mail of form {} asks it to \
                     confirm: {reason}",
                    self.id.0
                );
                Outcome::rejected("confirmation", reason)
            }
        };
        // A refusal may be about one address.
        if !matches!(error, Error::Reject { .. }) {
            self.failed = Some(error);
        }
        Some(outcome)
    }

    async fn send(&self, api: &Api, receiver: &Receiver) -> Result<()> {
        let body = json!({
            "email": receiver.address(),
            "doidata": receiver.doidata.clone().unwrap_or_default(),
        });
        let answer = api.post(["forms.json", &self.id.0, "send", "activate"]).json(&body);
        let answer = answer.send().await?;
        if answer.body().trim_ascii() == b"false" {
            let reason = "CleverReach answered false".to_owned();
            return Err(Error::Reject { code: "false".to_owned(), reason });
        }
        Ok(())
    }
}
