//! An account of CleverReach: how somebody logs in for it, and what its app may do.

use connector::prelude::*;

/// The login of CleverReach's own plug-ins and PHP SDK. `grant=basic` is mandatory in the address; a
/// proof key is not documented. The SDK and the plug-in for WooCommerce end tokens at different paths.
pub(crate) const LOGIN: Login = Login::at("/oauth/authorize.php")
    .with(&[("grant", "basic")])
    .without_proof_key()
    .revoked_by(Revocation::Delete(&["/oauth/token", "/v3/oauth/token.json"]));

/// The headings under Troubleshooting in `about.md`.
const REFUSED: &str = "The credentials are refused";
const NO_GROUPS: &str = "Groups may not be read";
const NO_RECEIVERS: &str = "Receivers may not be read";

/// What `debug/whoami` says; the vendor's plug-ins keep a sample.
#[derive(Deserialize)]
struct Whoami {
    id: Value,
    #[serde(default)]
    company: Option<String>,
    #[serde(default)]
    login_domain: Option<String>,
}

#[derive(Deserialize)]
struct Ttl {
    ttl: i64,
}

#[derive(Deserialize)]
struct Group {
    id: Value,
}

/// Asks who the account is, how long its token lasts, and for a group, one of its receivers, and its
/// forms.
pub(crate) async fn test(api: &Api) -> Result<Tested> {
    let mut tested = Tested::default();
    let whoami = ask::<Whoami>(api.get(["debug", "whoami.json"])).await;
    let known = tested.told("credentials", whoami, REFUSED, |it| it.describe())?;
    if known.is_none() {
        return Ok(tested);
    }
    // What it answers is not documented; that it does without a refusal is what counts.
    let valid = api.get(["debug", "validate.json"]).accept(StatusCode::NOT_FOUND).send().await;
    if let Err(error) = valid {
        tested.told("token", Err::<(), _>(error), REFUSED, |()| String::new())?;
        return Ok(tested);
    }
    match ask::<Ttl>(api.get(["debug", "ttl.json"])).await {
        Ok(Ttl { ttl }) => tested.passed("token", format!("good for {}", lasting(ttl))),
        Err(error) => tested.untested("token", format!("its lifetime was not told: {error}")),
    }
    let groups = ask::<Vec<Group>>(api.get(["groups"])).await;
    let counted = |groups: &Vec<Group>| match groups.len() {
        1 => "1 group".to_owned(),
        count => format!("{count} groups"),
    };
    let groups = tested.told("reading groups", groups, NO_GROUPS, counted)?;
    match groups.iter().flatten().next() {
        Some(Group { id }) => {
            let id = plain(id);
            let page = api.get(["groups", id.as_str(), "receivers"]).query("pagesize", 1);
            let page = page.query("page", 0).send().await;
            tested.told("reading receivers", page, NO_RECEIVERS, |_| String::new())?;
            forms(api, &id, &mut tested).await?;
        }
        None => tested.untested("reading receivers", "there is no group to read them from"),
    }
    tested.untested("writing receivers", "the first upsert shows it: a test would write one");
    tested.untested("confirmation mails", "the first mail shows it: a test would send one");
    Ok(tested)
}

/// Asks for a group's forms. Confirmation mails alone need them, so a refusal is told, and is no
/// failure; that CleverReach reads forms for every app is not documented either.
async fn forms(api: &Api, group: &str, tested: &mut Tested) -> Result<()> {
    let request = api.get(["groups", group, "forms"]).accept(StatusCode::NOT_FOUND);
    match request.send().await {
        Ok(answer) if answer.status() == StatusCode::NOT_FOUND => {
            tested.untested("reading forms", "CleverReach does not tell the forms of a group");
        }
        Ok(_) => tested.passed("reading forms", ""),
        Err(
            Error::Unauthorized { reason }
            | Error::Config { reason }
            | Error::Reject { reason, .. },
        ) => {
            let why = format!("{reason}; only steps with a `formId` need the right to forms");
            tested.untested("reading forms", why);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn ask<T: DeserializeOwned>(request: connector::Request<'_>) -> Result<T> {
    request.send().await?.json()
}

impl Whoami {
    fn describe(&self) -> String {
        let named = [&self.company, &self.login_domain].into_iter().flatten();
        let named = named.map(|it| it.trim()).find(|it| !it.is_empty());
        let named = named.map_or_else(String::new, |it| format!(", {it}"));
        format!("account {}{named}", plain(&self.id))
    }
}

/// Ids are strings, or numbers in some clients' recordings.
fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

fn lasting(seconds: i64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        _ => format!("{seconds} s"),
    }
}
