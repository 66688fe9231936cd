//! The test of an account of CleverTap: whether the project knows the passcode, and takes uploads.

use connector::prelude::*;

/// The headings under Troubleshooting in `about.md`.
const REFUSED: &str = "The credentials are refused";
const NO_UPLOADS: &str = "Uploads are refused";

/// Whose profile is asked for, and not uploaded: nobody's.
const NOBODY: &str = "towpath-account-test";

/// Asks for a connection, and for an upload that CleverTap only validates (`dryRun=1`).
pub(crate) async fn test(api: &Api) -> Result<Tested> {
    let mut tested = Tested::default();
    let region = format!("region {}", api.account().values().get("region"));
    let connected = match api.get(["v1", "connect"]).query("partner", "Towpath").send().await {
        // The question is for partners that CleverTap knows; a profile may be asked for by all.
        Err(Error::Config { reason } | Error::Reject { reason, .. })
            if ![" answered 400", " answered 403"].iter().any(|it| reason.contains(it)) =>
        {
            let profile = api.get(["1", "profile.json"]).query("identity", NOBODY);
            unless_missing(profile.send().await)
        }
        // Sent without a project id; the settings do not allow that, a gateway may lose it.
        Err(Error::Retry { reason, .. }) if reason.contains("account id should not be empty") => {
            Err(Error::Unauthorized { reason })
        }
        answer => answer.map(drop),
    };
    if tested.told("credentials", connected, REFUSED, |()| region)?.is_none() {
        return Ok(tested);
    }
    let profile =
        json!({ "identity": NOBODY, "type": "profile", "profileData": { "Name": "Test" } });
    let upload = api.post(["1", "upload"]).query("dryRun", 1).class("upload").safe();
    let upload = upload.json(&json!({ "d": [profile] })).send().await;
    tested.told("uploading", upload, NO_UPLOADS, |_| "validated, nothing was stored".to_owned())?;
    Ok(tested)
}

/// Nobody's profile is not there: whatever says so was let in.
fn unless_missing<T>(answer: Result<T>) -> Result<()> {
    match answer {
        Err(Error::Config { reason }) if reason.contains(" answered 404") => Ok(()),
        answer => answer.map(drop),
    }
}
