//! The test of an account of CleverTap: whether the project knows the passcode, and takes uploads.

use connector::prelude::*;

use crate::profile::{self, By};
use crate::settings;

/// The headings under Troubleshooting in `about.md`.
const REFUSED: &str = "The credentials are refused";
const NO_UPLOADS: &str = "Uploads are refused";

/// Whose profile is asked for, and not uploaded: nobody's.
const NOBODY: &str = "towpath-account-test";

/// Asks for a connection, or without a partner for nobody's profile, and for an upload that
/// CleverTap only validates (`dryRun=1`).
pub(crate) async fn test(api: &Api) -> Result<Tested> {
    let mut tested = Tested::default();
    let region = format!("region {}", api.account().values().get(settings::REGION));
    let partner = settings::given(api, settings::PARTNER_NAME);
    let connected = match partner.or(settings::given(api, settings::PARTNER_ID)) {
        Some(partner) => connect(api, partner).await,
        None => profile::find(api, By::Identity(NOBODY)).await.map(drop),
    };
    // The sample of bad credentials in Europe is a 400, elsewhere it is 401 and 403.
    if tested.told("credentials", connected, REFUSED, |()| region)?.is_none() {
        return Ok(tested);
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
    Ok(tested)
}

/// Asks whether a partner may connect. Where CleverTap does not know the partner, or the question, a
/// profile may still be asked for.
async fn connect(api: &Api, partner: &str) -> Result<()> {
    match api.get(["v1", "connect"]).query("partner", partner).send().await {
        Err(Error::Config { reason } | Error::Reject { reason, .. })
            if ![" answered 400", " answered 403"].iter().any(|it| reason.contains(it)) =>
        {
            profile::find(api, By::Identity(NOBODY)).await.map(drop)
        }
        // Sent without a project id; the settings do not allow that, a gateway may lose it.
        Err(Error::Retry { reason, .. }) if reason.contains("account id should not be empty") => {
            Err(Error::Unauthorized { reason })
        }
        answer => answer.map(drop),
    }
}
