//! The mail by which a new receiver confirms its address.

use connector::prelude::*;

use super::Receiver;
use crate::group::Id;
use crate::rejections;

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

    /// Sends the mail to a receiver that was created; the outcome if it did not leave. What
    /// somebody has to change first, a wrong form or refused credentials, is an error.
    pub(super) async fn confirm(
        &mut self,
        api: &Api,
        receiver: &Receiver,
        id: Option<&Id>,
    ) -> Result<Option<Outcome>> {
        let sent = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.send(api, receiver).await,
        };
        let Err(error) = sent else { return Ok(None) };
        let outcome = match &error {
            // It is sent again as one that was created a moment ago.
            Error::Retry { reason, after } | Error::HeldBack { reason, after } => {
                Outcome::Retry { after: *after, reason: reason.clone() }
            }
            Error::Unknown { reason } => Outcome::Retry { after: None, reason: reason.clone() },
            Error::Unauthorized { .. } | Error::Config { .. } => {
                self.failed = Some(error.clone());
                return Err(error);
            }
            Error::TooLarge { reason } | Error::Reject { reason, .. } => {
                let reason = format!(
                    "the receiver is there, inactive{}, but no mail of form {} asks it to \
                     confirm: {reason}",
                    shown(id),
                    self.id.0
                );
                rejections::CONFIRMATION.because(reason)
            }
        };
        // A refusal may be about one address.
        if !matches!(error, Error::Reject { .. }) {
            self.failed = Some(error);
        }
        Ok(Some(outcome))
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

/// What is said of a receiver whose mail did not leave within an hour of its creation.
pub(super) fn never_left(id: Option<&Id>) -> Outcome {
    let reason = format!(
        "the receiver is there, inactive{}, but as its source says no mail asked it to confirm, \
         and it was created more than an hour ago; delete it in CleverReach and send this message \
         again, which creates it anew, or activate it there if it has agreed",
        shown(id)
    );
    rejections::CONFIRMATION.because(reason)
}

fn shown(id: Option<&Id>) -> String {
    id.map_or_else(String::new, |id| format!(" (id {})", id.0))
}
