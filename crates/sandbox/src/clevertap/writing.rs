//! The endpoints that change something beside uploads: which is meant, and who answers.

use std::sync::Mutex;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::archive::Archive;
use super::{campaigns, deletion, lists};
use crate::answer::Answer;
use crate::call::Call;
use crate::lock::lock;
use crate::options::Switches;

/// An order that was taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ordered {
    /// Method and path.
    pub to: &'static str,
    /// The body as it was sent.
    pub body: Value,
}

/// What is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Writing {
    what: What,
    /// Method and path.
    template: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    CreateCampaign,
    DeleteProfiles,
    DemergeProfiles,
    Disassociate,
    RaiseBusinessEvent,
    Send,
    SetOffCampaign,
    StopCampaign,
    Subscribe,
}

const ENDPOINTS: &[(What, &str)] = &[
    (What::CreateCampaign, "POST /1/targets/create.json"),
    (What::DeleteProfiles, "POST /1/delete/profiles.json"),
    (What::DemergeProfiles, "POST /1/demerge/profiles.json"),
    (What::Disassociate, "POST /1/disassociate"),
    (What::RaiseBusinessEvent, "POST /1/targets/trigger.json"),
    (What::Send, "POST /1/send/push.json"),
    (What::Send, "POST /1/send/email.json"),
    (What::Send, "POST /1/send/sms.json"),
    (What::Send, "POST /1/send/webpush.json"),
    (What::Send, "POST /1/send/whatsapp.json"),
    (What::SetOffCampaign, "POST /1/send/externaltrigger.json"),
    (What::StopCampaign, "POST /1/targets/stop.json"),
    (What::Subscribe, "POST /1/subscribe"),
];

impl Writing {
    /// Recognises a request.
    pub(super) fn of(call: &Call) -> Option<Self> {
        let wanted = format!("{} /{}", call.method, call.segments.join("/"));
        let (what, template) = ENDPOINTS.iter().find(|(_, known)| *known == wanted)?;
        Some(Self { what: *what, template })
    }

    /// Names the endpoint as the counters show it.
    pub(super) const fn template(self) -> &'static str {
        self.template
    }

    /// Answers a request of somebody who may ask, and keeps what it orders.
    pub(super) fn answer(
        self,
        body: &Bytes,
        archive: &Mutex<Archive>,
        switches: &Switches,
        now: i64,
    ) -> Answer {
        let answer = match self.what {
            What::CreateCampaign => campaigns::create(body, archive),
            What::DeleteProfiles => deletion::answer(body, archive, switches, now),
            What::DemergeProfiles => lists::demerge(body),
            What::Disassociate => lists::disassociate(body, switches),
            What::RaiseBusinessEvent => campaigns::raise(body),
            What::Send => campaigns::send(body),
            What::SetOffCampaign => campaigns::set_off(body),
            What::StopCampaign => campaigns::stop(body, archive),
            What::Subscribe => lists::subscribe(body, switches),
        };
        if answer.status == 200
            && let Ok(body) = serde_json::from_slice(body)
        {
            lock(archive).ordered.push(Ordered { to: self.template, body });
        }
        answer
    }
}
