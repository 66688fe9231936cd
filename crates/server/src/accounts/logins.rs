//! Logins under way: begun for one account, opened by one browser, ended once, within ten minutes.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use connector::{Clock, Connector, Secret, Tested, Timestamp};
use store::Store;
use tokio::sync::watch;
use url::Url;

use super::host::{Failed, Host, Refusal};
use crate::{random, token};

/// The path of the callback, below the URL under which the service is reached.
pub const CALLBACK: &str = "/callback/oauth2";
/// How long a person has.
pub(crate) const LASTS: Duration = Duration::from_secs(600);
/// So many logins may be under way at once: the oldest give way.
const MOST: usize = 1_000;
/// What states are signed for.
const DOMAIN: &str = "oauth2 state";

/// The logins of a process: they end with it.
#[derive(Clone)]
pub struct Logins(Arc<Inner>);

struct Inner {
    host: Arc<dyn Host>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// What the system is to send people back to.
    redirect_url: String,
    under_way: Mutex<UnderWay>,
    ended: watch::Sender<Option<Ended>>,
}

/// How the last login ended that its own browser brought back.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The account.
    pub account: String,
    /// What the test found, or why nothing was kept.
    pub result: Result<Tested, String>,
}

#[derive(Default)]
struct UnderWay {
    /// Not opened by a browser yet, by the hash of the ticket.
    begun: HashMap<[u8; 32], Begun>,
    /// At the system, by the nonce in the state.
    away: HashMap<Vec<u8>, Away>,
}

struct Begun {
    account: String,
    ends: Timestamp,
}

struct Away {
    account: String,
    /// The hash of what the browser that began holds.
    binding: [u8; 32],
    verifier: Option<Secret>,
    ends: Timestamp,
}

/// A browser on its way to the system.
#[derive(Debug)]
pub struct Departure {
    /// The account's name.
    pub account: String,
    /// Where it goes.
    pub url: Url,
    /// What it has to bring back: the value of a cookie that no script sees.
    pub binding: Secret,
}

/// What a browser brought back from the system, as the address says.
#[derive(Default)]
pub struct Return {
    /// The state.
    pub state: Option<String>,
    /// The code.
    pub code: Option<Secret>,
    /// Why there is none, in OAuth2's words.
    pub error: Option<String>,
    /// The same for people.
    pub error_description: Option<String>,
}

/// A login that is kept.
#[derive(Debug)]
pub struct Arrival {
    /// The account's name.
    pub account: String,
    /// What the new token may do.
    pub tested: Tested,
}

/// Why a login came to nothing.
#[derive(Debug)]
pub enum LoginError {
    /// The state is none of ours, or was changed.
    Forged,
    /// It took longer than ten minutes.
    Expired,
    /// It was ended already, or the service started again meanwhile.
    Used,
    /// Another browser, or another terminal, began it.
    Foreign,
    /// The system sent the person back without a code.
    Refused {
        /// The account.
        account: String,
        /// What the system said.
        said: String,
    },
    /// The account itself cannot be used so.
    Account(Refusal),
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forged => f.write_str("this address was not made by this service: begin the login again"),
            Self::Expired => {
                f.write_str("the login took longer than ten minutes: begin it again, nothing was kept")
            }
            Self::Used => f.write_str(
                "the login was ended already, or the service was started again meanwhile: begin it again",
            ),
            Self::Foreign => f.write_str(
                "another browser began this login: go on there, or begin it again in this one",
            ),
            Self::Refused { account, said } => {
                write!(f, "the system let nobody in for account {account} ({said}): nothing was kept")
            }
            Self::Account(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for LoginError {}

impl From<Refusal> for LoginError {
    fn from(refusal: Refusal) -> Self {
        Self::Account(refusal)
    }
}

impl Logins {
    /// Logins for the accounts of a host, with people sent back to the service at `base_url`.
    pub fn new(
        host: Arc<dyn Host>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        base_url: &str,
    ) -> Self {
        let redirect_url = format!("{}{CALLBACK}", base_url.trim_end_matches('/'));
        let (under_way, ended) = (Mutex::default(), watch::Sender::default());
        Self(Arc::new(Inner { host, store, clock, redirect_url, under_way, ended }))
    }

    /// Tells of logins that end.
    pub fn ended(&self) -> watch::Receiver<Option<Ended>> {
        self.0.ended.subscribe()
    }

    /// The address at which a flow is called.
    pub fn hook_url(&self, flow: &str) -> String {
        let base = self.redirect_url();
        format!("{}/hooks/{flow}", base.strip_suffix(CALLBACK).unwrap_or(base))
    }

    /// What has to be entered into the system's app.
    pub fn redirect_url(&self) -> &str {
        &self.0.redirect_url
    }

    /// Who keeps the accounts.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.0.host
    }

    /// Begins a login: the address for one browser, to open once.
    pub async fn begin(&self, account: &str) -> Result<String, Refusal> {
        let api = self.0.host.access(account).await?;
        if api.account().login().is_none() {
            return Err(Refusal::Other(format!(
                "account {account} needs no login: its settings are all it needs"
            )));
        }
        let ticket = random::unguessable().map_err(|error| Refusal::Other(error.to_string()))?;
        let now = self.0.clock.now();
        let mut under_way = self.0.under_way();
        make_room(&mut under_way.begun, now, |it| it.ends);
        let begun = Begun { account: account.to_owned(), ends: now.plus(LASTS) };
        under_way.begun.insert(token::hash(&ticket), begun);
        Ok(format!("{}?start={ticket}", self.0.redirect_url))
    }

    /// Sends the browser that opened the address of a login to the system. A second one is refused.
    pub async fn depart(&self, ticket: &str) -> Result<Departure, LoginError> {
        let now = self.0.clock.now();
        let begun =
            self.0.under_way().begun.remove(&token::hash(ticket)).ok_or(LoginError::Used)?;
        if begun.ends < now {
            return Err(LoginError::Expired);
        }
        let api = self.0.host.access(&begun.account).await?;
        let failed = |error: crate::Error| Refusal::Other(error.to_string());
        let binding = random::unguessable().map_err(failed)?;
        let nonce = random::unguessable().map_err(failed)?.into_bytes();
        let ends = now.plus(LASTS);
        let state = self.0.sign(&nonce, ends);
        let way = api.begin_login(&self.0.redirect_url, &state).map_err(Refusal::of_call)?;
        let away = Away {
            account: begun.account.clone(),
            binding: token::hash(&binding),
            verifier: way.verifier,
            ends,
        };
        let mut under_way = self.0.under_way();
        make_room(&mut under_way.away, now, |it| it.ends);
        under_way.away.insert(nonce, away);
        Ok(Departure { account: begun.account, url: way.url, binding: Secret::new(binding) })
    }

    /// Ends a login: the code becomes a token, which is tested, and kept if the test is good.
    pub async fn arrive(&self, back: Return, binding: Option<&str>) -> Result<Arrival, LoginError> {
        let away = self.0.take(back.state.as_deref(), binding)?;
        let account = away.account.clone();
        let arrived = self.redeem(back, away).await;
        let result = arrived.as_ref().map(|it| it.tested.clone()).map_err(ToString::to_string);
        self.0.ended.send_replace(Some(Ended { account, result }));
        arrived
    }

    async fn redeem(&self, back: Return, away: Away) -> Result<Arrival, LoginError> {
        let Some(code) = back.code.filter(|_| back.error.is_none()) else {
            let said = [back.error, back.error_description].into_iter().flatten();
            let said = said.map(|it| shortened(&it)).collect::<Vec<_>>().join(": ");
            let said = if said.is_empty() { "it sent no code".to_owned() } else { said };
            return Err(LoginError::Refused { account: away.account, said });
        };
        let (host, account) = (&self.0.host, away.account);
        let api = host.access(&account).await?;
        let redeemed = api.redeem(&code, &self.0.redirect_url, away.verifier.as_ref()).await;
        let token = redeemed.map_err(|error| match error {
            connector::Error::Unauthorized { reason } => {
                LoginError::Refused { account: account.clone(), said: reason }
            }
            error => Refusal::of_call(error).into(),
        })?;
        let connector = connector_of(&**host, api.account().connector())?;
        let tested = connector.test_account(&api.with_token(token.clone())).await;
        let tested = tested.map_err(Refusal::of_call)?;
        if !tested.is_good() {
            return Err(Refusal::Failed(Failed::new(&account, connector, tested)).into());
        }
        api.log_in(token).await.map_err(Refusal::of_call)?;
        host.used_again(&account).await?;
        Ok(Arrival { account, tested })
    }
}

fn connector_of<'a>(host: &'a dyn Host, name: &str) -> Result<&'a Connector, Refusal> {
    let found = host.connectors().iter().find(|it| it.name() == name);
    found.ok_or_else(|| Refusal::Other(format!("there is no connector {name}")))
}

impl Inner {
    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nonce, end and signature, in characters that need no escape.
    fn sign(&self, nonce: &[u8], ends: Timestamp) -> Secret {
        let ends = ends.millis().to_be_bytes();
        let signature = self.store.keyed_hash(DOMAIN, &[nonce, &ends]);
        Secret::new(URL_SAFE_NO_PAD.encode([nonce, &ends, &signature].concat()))
    }

    /// Takes a login that came back out of those that are away, once. A browser that did not begin
    /// it takes nothing away.
    fn take(&self, state: Option<&str>, binding: Option<&str>) -> Result<Away, LoginError> {
        let bytes = state.and_then(|state| URL_SAFE_NO_PAD.decode(state).ok());
        let bytes = bytes.ok_or(LoginError::Forged)?;
        let (rest, signature) = bytes.split_last_chunk::<32>().ok_or(LoginError::Forged)?;
        let (nonce, ends) = rest.split_last_chunk::<8>().ok_or(LoginError::Forged)?;
        let signed = self.store.keyed_hash(DOMAIN, &[nonce, ends]);
        // `blake3::Hash` compares in constant time.
        if blake3::Hash::from_bytes(signed) != blake3::Hash::from_bytes(*signature) {
            return Err(LoginError::Forged);
        }
        if Timestamp::from_millis(i64::from_be_bytes(*ends)) < self.clock.now() {
            return Err(LoginError::Expired);
        }
        let mut under_way = self.under_way();
        let away = under_way.away.get(nonce).ok_or(LoginError::Used)?;
        let held = binding.map(token::hash).unwrap_or_default();
        if blake3::Hash::from_bytes(held) != blake3::Hash::from_bytes(away.binding) {
            return Err(LoginError::Foreign);
        }
        under_way.away.remove(nonce).ok_or(LoginError::Used)
    }
}

fn make_room<K: Clone + Eq + std::hash::Hash, V>(
    all: &mut HashMap<K, V>,
    now: Timestamp,
    ends: impl Fn(&V) -> Timestamp,
) {
    if all.len() < MOST {
        return;
    }
    all.retain(|_, one| ends(one) >= now);
    while all.len() >= MOST {
        let oldest = all.iter().min_by_key(|(_, one)| ends(one)).map(|(key, _)| key.clone());
        let Some(oldest) = oldest else { return };
        all.remove(&oldest);
    }
}

/// What an address says is shown, but not at any length.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
