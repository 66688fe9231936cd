//! The test of an account of CleverTap: whether the project knows the passcode, and takes uploads.

use connector::prelude::*;

use crate::call::{self, NOBODY};
use crate::profile::{self, By};
use crate::settings;

/// The headings under Troubleshooting in `about.md`.
const REFUSED: &str = "The credentials are refused";
const NO_UPLOADS: &str = "Uploads are refused";

/// Asks for a connection, or without a partner for nobody's profile, and for an upload that
/// CleverTap only validates (`dryRun=1`).
pub(crate) async fn test(api: &Api) -> Result<Tested> {
    let mut tested = Tested::default();
    let region = format!("region {}", api.account().values().get(settings::REGION));
    let partner = settings::given(api, settings::PARTNER_NAME);
    let partner = partner.or(settings::given(api, settings::PARTNER_ID));
    let mut unconnected = None;
    let connected = match partner {
        Some(partner) => connect(api, partner).await.map(|why| unconnected = why),
        None => profile::find(api, By::Identity(NOBODY)).await.map(drop),
    };
    // The sample of bad credentials in Europe is a 400, elsewhere it is 401 and 403.
    if tested.told("credentials", connected, REFUSED, |()| region)?.is_none() {
        return Ok(tested);
    }
    if let Some(why) = unconnected {
        tested.untested("partner", format!("the project answers, but not to the partner: {why}"));
    }
    let profile =
        json!({ "identity": NOBODY, "type": "profile", "profileData": { "Name": "Test" } });
    let upload = api.post(["1", "upload"]).query("dryRun", 1).class("upload").safe();
    let upload = upload.json(&json!({ "d": [profile] })).send().await;
    tested.told("uploading", upload, NO_UPLOADS, |_| "validated, nothing was stored".to_owned())?;
    let why = match settings::given(api, settings::TOKEN) {
        Some(_) => "it serves attribution alone: the first one shows it",
        None => "there is none, and attribution alone needs one",
    };
    tested.untested("token", why);
    let zone = api.account().values().get(settings::TIMEZONE);
    tested.untested("timezone", format!("times of events are read as those of {zone}"));
    Ok(tested)
}

/// Asks whether a partner may connect. Where CleverTap refuses that, a profile may still be asked for:
/// then the credentials are right, and what was said of the partner is given.
async fn connect(api: &Api, partner: &str) -> Result<Option<String>> {
    let refused = [StatusCode::BAD_REQUEST, call::REFUSED_INSIDE_200];
    let request = api.get(["v1", "connect"]).query("partner", partner);
    let request = refused.into_iter().fold(request, connector::Request::accept);
    let why = match request.send().await {
        Ok(answer) if answer.status().is_success() => return Ok(None),
        Ok(answer) => answer.message(),
        Err(Error::Config { reason } | Error::Reject { reason, .. }) => reason,
        // Sent without a project id; the settings do not allow that, a gateway may lose it.
        Err(Error::Retry { reason, .. }) if reason.contains("account id should not be empty") => {
            return Err(Error::Unauthorized { reason });
        }
        Err(error) => return Err(error),
    };
    profile::find(api, By::Identity(NOBODY)).await.map(|_| Some(why))
}
