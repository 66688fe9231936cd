//! The endpoints that change something beside uploads: which is meant, and who answers.

use std::sync::Mutex;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::archive::Archive;
use super::{campaigns, deletion, files, lists};
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

/// What answers to orders hold where the documentation does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OrderSwitches {
    /// What stands in the answer where profiles are deleted or taken apart, or a business event is
    /// raised. One client knows `status` of a deletion; of the others nothing is known.
    pub answer: OrderAnswer,
    /// What is answered where a campaign is stopped that there is not.
    pub unknown_campaign: UnknownCampaign,
}

impl Default for OrderSwitches {
    fn default() -> Self {
        Self { answer: OrderAnswer::Success, unknown_campaign: UnknownCampaign::Refused }
    }
}

/// What stands in the answer to an order that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderAnswer {
    /// `status: success`.
    Success,
    /// The same and words, as messages are answered.
    Queued,
    /// Nothing, with 200.
    Empty,
    /// Nothing, with 204.
    NoContent,
}

impl OrderAnswer {
    fn answer(self) -> Answer {
        match self {
            Self::Success => Answer::json(200, &json!({ "status": "success" })),
            Self::Queued => campaigns::queued(),
            Self::Empty => Answer::text(200, Bytes::new()),
            Self::NoContent => Answer::nothing(),
        }
    }
}

/// How it is told that there is no such campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownCampaign {
    /// 400 `Malformed request`.
    Refused,
    /// 404 `Not Found`.
    NotFound,
    /// As if it had been stopped.
    Stopped,
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
    CompleteCatalog,
    CompleteList,
    CreateCampaign,
    DeleteProfiles,
    DemergeProfiles,
    Disassociate,
    GiveAddress,
    PutFile,
    RaiseBusinessEvent,
    Send,
    SetOffCampaign,
    StopCampaign,
    Subscribe,
}

/// An address that was given: what is below it is the file's number.
const PUT_FILE: &str = "PUT /files/{number}";

const ENDPOINTS: &[(What, &str)] = &[
    (What::CompleteCatalog, "POST /upload_catalog_completed"),
    (What::CompleteList, "POST /upload_custom_list_segment_completed"),
    (What::GiveAddress, "POST /get_catalog_url"),
    (What::GiveAddress, "POST /get_custom_list_segment_url"),
    (What::PutFile, PUT_FILE),
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
        let wanted = match call.path().as_slice() {
            ["files", _] if call.method == http::Method::PUT => PUT_FILE.to_owned(),
            path => format!("{} /{}", call.method, path.join("/")),
        };
        let (what, template) = ENDPOINTS.iter().find(|(_, known)| *known == wanted)?;
        Some(Self { what: *what, template })
    }

    /// Names the endpoint as the counters show it.
    pub(super) const fn template(self) -> &'static str {
        self.template
    }

    /// Whether the address alone lets somebody in.
    pub(super) fn is_given(self) -> bool {
        self.what == What::PutFile
    }

    /// Answers a request of somebody who may ask, and keeps what it orders.
    pub(super) fn answer(
        self,
        call: &Call,
        body: &Bytes,
        archive: &Mutex<Archive>,
        (switches, now): (&Switches, i64),
    ) -> Answer {
        let taken = || switches.orders.answer.answer();
        let answer = match self.what {
            What::CompleteCatalog => files::complete(body, archive, true, switches),
            What::CompleteList => files::complete(body, archive, false, switches),
            What::GiveAddress => files::give(call, archive, now),
            What::PutFile => files::put(call, body, archive, now),
            What::CreateCampaign => campaigns::create(body, archive, &switches.reading),
            What::DeleteProfiles => deletion::answer(body, archive, (switches, now), taken),
            What::DemergeProfiles => lists::demerge(body, taken),
            What::Disassociate => lists::disassociate(body, switches),
            What::RaiseBusinessEvent => campaigns::raise(body, taken),
            What::Send => campaigns::send(body),
            What::SetOffCampaign => campaigns::set_off(body),
            What::StopCampaign => campaigns::stop(body, archive, switches.orders.unknown_campaign),
            What::Subscribe => lists::subscribe(body, switches),
        };
        if matches!(answer.status, 200 | 204)
            && let Some(body) = ordered(body)
        {
            lock(archive).ordered.push(Ordered { to: self.template, body });
        }
        answer
    }
}

/// The body as a value: JSON, or else the text of a file; nothing where only something is asked for.
fn ordered(body: &[u8]) -> Option<Value> {
    if body.is_empty() {
        return None;
    }
    let text = || Value::from(String::from_utf8_lossy(body));
    Some(serde_json::from_slice(body).unwrap_or_else(|_| text()))
}
