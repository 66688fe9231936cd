//! The authorisation of one account: its token, obtained, renewed once for all, and given up.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use oauth2::basic::BasicTokenResponse;
use oauth2::{
    AuthorizationCode, PkceCodeVerifier, RedirectUrl, RefreshToken, TokenResponse, TokenUrl,
};

use crate::auth::OAuth2;
use crate::login::{LoginState, Revocation, Revoked};
use crate::token::{Held, Slot, Token, Tokens};
use crate::token_call::{self, Refusal, TokenCall};
use crate::{Account, Auth, Clock, Error, Result, Secret, Services, Timestamp, response};

/// A token is renewed this long before it ends, so that it does not end on the way.
const AHEAD: Duration = Duration::from_secs(60);

/// One that lasts a day or longer is renewed when a tenth of that is left, and this long before it ends
/// at most: an outage of its system, or a login that has to be made again, is nothing urgent then.
const WELL_AHEAD: Duration = Duration::from_secs(7 * DAY);
const DAY: u64 = 24 * 3600;

/// So long after a renewal failed that came ahead, the next one is tried.
const AGAIN: Duration = Duration::from_secs(60);

/// The authorisation of one account, shared by everything that uses it.
#[derive(Clone)]
pub(crate) struct Session(Arc<Inner>);

struct Inner {
    account: Account,
    identity: String,
    tokens: Arc<dyn Tokens>,
    clock: Arc<dyn Clock>,
    slot: Slot,
}

/// What a request is authorised with.
pub(crate) struct Authorised {
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The token in use; `None` where there is nothing to renew.
    pub(crate) token: Option<Secret>,
}

impl Session {
    pub(crate) fn new(account: Account, identity: String, services: &Services) -> Self {
        let (tokens, clock) = (services.tokens.clone(), services.clock.clone());
        let slot = tokens.slot(&identity);
        Self(Arc::new(Inner { account, identity, tokens, clock, slot }))
    }

    /// The same account with a token that is kept nowhere.
    pub(crate) fn with_token(&self, token: Token) -> Self {
        let Inner { account, identity, clock, .. } = &*self.0;
        Self(Arc::new(Inner {
            account: account.clone(),
            identity: identity.clone(),
            tokens: Arc::new(crate::Unkept),
            clock: clock.clone(),
            slot: Slot::holding(token),
        }))
    }

    /// Authorises a request. `refused` is a token that was just answered with 401: if it is still
    /// the present one, it is renewed, once however many ask.
    pub(crate) async fn authorise(
        &self,
        http: &reqwest::Client,
        refused: Option<&Secret>,
    ) -> Result<Authorised> {
        match self.0.account.auth() {
            Auth::None => Ok(Authorised { headers: vec![], token: None }),
            Auth::Headers(headers) => {
                let headers = headers.iter().map(|(name, setting)| {
                    let value = self.0.account.values().get(setting.name);
                    Ok((header_name(name)?, sensitive(value, setting.name)?))
                });
                Ok(Authorised { headers: headers.collect::<Result<_>>()?, token: None })
            }
            Auth::OAuth2(oauth2) => {
                let token = self.token(http, oauth2, refused).await?;
                let value = sensitive(&format!("Bearer {}", token.expose()), "access token")?;
                Ok(Authorised { headers: vec![(header::AUTHORIZATION, value)], token: Some(token) })
            }
        }
    }

    async fn token(
        &self,
        http: &reqwest::Client,
        oauth2: &OAuth2,
        refused: Option<&Secret>,
    ) -> Result<Secret> {
        let mut held = self.0.slot.lock().await;
        self.0.look(&mut held).await?;
        let now = self.0.clock.now();
        let was_refused =
            |token: &Token| refused.is_some_and(|r| r.expose() == token.access.expose());
        if let Some(token) = &held.token
            && !was_refused(token)
            && token.is_fresh(now)
        {
            return Ok(token.access.clone());
        }
        let usable = held.token.as_ref().filter(|it| !was_refused(it) && !it.has_ended(now));
        let usable = usable.map(|token| token.access.clone());
        let is_recent = held.tried.is_some_and(|at| at <= now && now.since(at) < AGAIN);
        if let Some(access) = usable.clone().filter(|_| is_recent) {
            return Ok(access);
        }
        if self.0.account.login().is_none() {
            let renewed = self.0.client_credentials(http, oauth2, &mut held).await;
            held.tried = renewed.is_err().then_some(now);
            return self.or_usable(renewed, usable);
        }
        // A renewal goes on when who asked is gone: what the system rotated must be kept.
        let (inner, http, oauth2) = (self.0.clone(), http.clone(), *oauth2);
        let renewal = tokio::spawn(async move {
            let renewed = inner.renewed(&http, &oauth2, &mut held).await;
            held.tried = renewed.is_err().then_some(now);
            renewed
        });
        let renewed = renewal.await.map_err(|error| Error::retry(error.to_string()))?;
        self.or_usable(renewed, usable)
    }

    /// While the server is away a token serves until it ends.
    fn or_usable(&self, renewed: Result<Secret>, usable: Option<Secret>) -> Result<Secret> {
        match (renewed, usable) {
            (Err(error), Some(access)) if !matches!(error, Error::Unauthorized { .. }) => {
                tracing::warn!(account = self.0.account.name(), %error, "the token was not renewed");
                Ok(access)
            }
            (renewed, _) => renewed,
        }
    }

    pub(crate) async fn redeem(
        &self,
        http: &reqwest::Client,
        code: &Secret,
        redirect_url: &str,
        verifier: Option<&Secret>,
    ) -> Result<Token> {
        let it = &*self.0;
        let redirect = RedirectUrl::new(redirect_url.to_owned());
        let redirect = redirect.map_err(|error| Error::config(format!("the redirect: {error}")))?;
        let hidden = [code].into_iter().chain(verifier).cloned();
        let call = it.call(http, it.oauth2()?, hidden);
        let client = call.client(&it.account);
        let mut request = client
            .exchange_code(AuthorizationCode::new(code.expose().to_owned()))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect));
        if let Some(verifier) = verifier {
            let verifier = PkceCodeVerifier::new(verifier.expose().to_owned());
            request = request.set_pkce_verifier(verifier);
        }
        let answer = request.request_async(&call).await;
        let answer = answer.map_err(|error| call.refusal(error))?;
        Ok(it.token_of(&answer, None))
    }

    pub(crate) async fn log_in(&self, token: Token) -> Result<()> {
        let mut held = self.0.slot.lock().await;
        self.0.tokens.save(&self.0.identity, &token).await?;
        *held = Held { token: Some(token), ..Held::default() };
        Ok(())
    }

    pub(crate) async fn state(&self) -> Result<Option<LoginState>> {
        let mut held = self.0.slot.lock().await;
        self.0.look(&mut held).await?;
        Ok(held.token.as_ref().map(|token| LoginState {
            expires: token.expires,
            renewable: token.refresh.is_some(),
            renewing: token.renewing,
        }))
    }

    pub(crate) async fn renew(&self, http: &reqwest::Client) -> Result<()> {
        let oauth2 = *self.0.oauth2()?;
        let mut held = self.0.slot.lock().await;
        self.0.look(&mut held).await?;
        if self.0.account.login().is_none() {
            return self.0.client_credentials(http, &oauth2, &mut held).await.map(drop);
        }
        let (inner, http) = (self.0.clone(), http.clone());
        let renewal = tokio::spawn(async move { inner.renewed(&http, &oauth2, &mut held).await });
        renewal.await.map_err(|error| Error::retry(error.to_string()))?.map(drop)
    }

    pub(crate) async fn log_out(&self, http: &reqwest::Client) -> Result<Revoked> {
        let mut held = self.0.slot.lock().await;
        self.0.look(&mut held).await?;
        let Some(token) = held.token.clone() else { return Ok(Revoked::Nothing) };
        let revocation = self.0.account.login().and_then(|login| login.revocation);
        let revoked = match revocation {
            None => Revoked::NotOffered,
            Some(revocation) => match self.0.revoke(http, revocation, &token).await {
                Ok(()) => Revoked::Yes,
                Err(error) => Revoked::Unconfirmed(error.to_string()),
            },
        };
        self.0.tokens.remove(&self.0.identity).await?;
        *held = Held::default();
        Ok(revoked)
    }
}

impl Inner {
    fn oauth2(&self) -> Result<&OAuth2> {
        match self.account.auth() {
            Auth::OAuth2(oauth2) => Ok(oauth2),
            _ => Err(Error::config(format!(
                "account \"{}\" has no token: its settings are all it needs",
                self.account.name()
            ))),
        }
    }

    /// Looks for the token that was kept, or keeps the one that could not be.
    async fn look(&self, held: &mut Held) -> Result<()> {
        match &held.token {
            None => held.token = self.tokens.load(&self.identity).await?,
            Some(token) if held.unkept => {
                self.tokens.save(&self.identity, token).await?;
                held.unkept = false;
            }
            Some(_) => {}
        }
        Ok(())
    }

    async fn client_credentials(
        &self,
        http: &reqwest::Client,
        oauth2: &OAuth2,
        held: &mut Held,
    ) -> Result<Secret> {
        let refresh = held.token.as_ref().and_then(|token| token.refresh.clone());
        let token = match refresh {
            Some(refresh) => match self.refresh(http, oauth2, &refresh).await {
                // A refused refresh token is dead; the client's own credentials may still do.
                Err(Refusal::Grant(_) | Refusal::Other(Error::Unauthorized { .. })) => {
                    self.ask(http, oauth2).await?
                }
                other => other?,
            },
            None => self.ask(http, oauth2).await?,
        };
        self.tokens.save(&self.identity, &token).await?;
        let access = token.access.clone();
        held.token = Some(token);
        Ok(access)
    }

    /// Renews the token of a login. That it begins is durable before the request leaves, and the
    /// new token before anybody uses it: the refresh token may be rotated, and the old one dead.
    async fn renewed(
        &self,
        http: &reqwest::Client,
        oauth2: &OAuth2,
        held: &mut Held,
    ) -> Result<Secret> {
        let Some(token) = &mut held.token else { return Err(self.ended("nobody logged in yet")) };
        let Some(refresh) = token.refresh.clone() else {
            return Err(self.ended("the token ended, and the system gave none to renew it by"));
        };
        let broke_off = std::mem::replace(&mut token.renewing, true);
        if !broke_off {
            self.tokens.save(&self.identity, token).await?;
        }
        let mut answer = self.refresh(http, oauth2, &refresh).await;
        if let (Err(Refusal::Grant(_)), Some(previous)) = (&answer, &token.previous) {
            // A system that lost its own rotation takes the one before; another one refuses both.
            match self.refresh(http, oauth2, previous).await {
                Err(Refusal::Grant(_)) => {}
                other => answer = other,
            }
        }
        let renewed = answer.map_err(|refusal| match refusal {
            Refusal::Grant(reason) if broke_off => self.ended(&format!(
                "{reason}; a renewal broke off before its answer was kept, so the system may have \
                 used up the refresh token then"
            )),
            Refusal::Grant(reason) => self.ended(&reason),
            Refusal::Other(error) => error,
        })?;
        let access = renewed.access.clone();
        let kept = self.tokens.save(&self.identity, &renewed).await;
        *held = Held { token: Some(renewed), unkept: kept.is_err(), tried: None };
        kept.map(|()| access)
    }

    fn ended(&self, why: &str) -> Error {
        let name = self.account.name();
        Error::Unauthorized {
            reason: format!(
                "account \"{name}\" needs a login ({why}): run `towpath account login {name}`"
            ),
        }
    }

    fn call<'a>(
        &self,
        http: &'a reqwest::Client,
        oauth2: &OAuth2,
        hidden: impl IntoIterator<Item = Secret>,
    ) -> TokenCall<'a> {
        let mut url = self.account.base_url().clone();
        url.set_path(oauth2.token_path);
        let label = format!("POST {}", oauth2.token_path);
        let redactor = hidden.into_iter().fold(self.account.redactor(), |it, more| it.and(more));
        TokenCall { http, url: TokenUrl::from_url(url), label, redactor, now: self.clock.now() }
    }

    async fn ask(&self, http: &reqwest::Client, oauth2: &OAuth2) -> Result<Token, Refusal> {
        let call = self.call(http, oauth2, []);
        let client = call.client(&self.account);
        let answer = client.exchange_client_credentials().request_async(&call).await;
        Ok(self.token_of(&answer.map_err(|error| call.refusal(error))?, None))
    }

    async fn refresh(
        &self,
        http: &reqwest::Client,
        oauth2: &OAuth2,
        refresh: &Secret,
    ) -> Result<Token, Refusal> {
        let call = self.call(http, oauth2, [refresh.clone()]);
        let client = call.client(&self.account);
        let token = RefreshToken::new(refresh.expose().to_owned());
        let answer = client.exchange_refresh_token(&token).request_async(&call).await;
        let answer = answer.map_err(|error| match call.refusal(error) {
            // Whatever a server calls it: what it refuses for good it will refuse again.
            Refusal::Other(
                Error::Config { reason }
                | Error::Reject { reason, .. }
                | Error::TooLarge { reason },
            ) => Refusal::Grant(reason),
            other => other,
        })?;
        Ok(self.token_of(&answer, Some(refresh)))
    }

    fn token_of(&self, answer: &BasicTokenResponse, used: Option<&Secret>) -> Token {
        let given = answer.refresh_token().map(|token| Secret::new(token.secret().clone()));
        let now = self.clock.now();
        let rotated =
            given.as_ref().is_some_and(|it| used.is_none_or(|u| u.expose() != it.expose()));
        Token {
            access: Secret::new(answer.access_token().secret().clone()),
            refresh: given.or_else(|| used.cloned()),
            previous: used.filter(|_| rotated).cloned(),
            expires: answer.expires_in().map(|lifetime| now.plus(lifetime)),
            renew: answer.expires_in().map(|lifetime| {
                let ahead = if lifetime.as_secs() < DAY { AHEAD } else { lifetime / 10 };
                now.plus(lifetime.saturating_sub(ahead.min(WELL_AHEAD)))
            }),
            renewing: false,
        }
    }

    async fn revoke(
        &self,
        http: &reqwest::Client,
        revocation: Revocation,
        token: &Token,
    ) -> Result<()> {
        let mut url = self.account.base_url().clone();
        let (paths, body) = match revocation {
            Revocation::Delete(paths) => (paths, None),
            Revocation::Post(path) => (&[path][..], Some(self.form_that_ends(token))),
        };
        let mut failure = Ok(());
        for path in paths {
            url.set_path(path);
            let (request, label) = match &body {
                None => {
                    let bearer = format!("Bearer {}", token.access.expose());
                    let bearer = sensitive(&bearer, "access token")?;
                    let request = http.delete(url.clone()).header(header::AUTHORIZATION, bearer);
                    (request, format!("DELETE {path}"))
                }
                Some(body) => {
                    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                    let request = http.post(url.clone()).header(header::CONTENT_TYPE, form);
                    (request.body(body.clone()), format!("POST {path}"))
                }
            };
            let answer = request.send().await;
            let answer = answer.map_err(|error| response::transport_error(error, &label, true))?;
            let status = answer.status();
            if status.is_success() {
                return Ok(());
            }
            let body = response::read_body(answer, token_call::BODY, &label, true).await?;
            let redactor = token.secrets().fold(self.account.redactor(), |it, more| it.and(more));
            let message = response::message(&body, &redactor);
            failure = Err(response::failure(status, &message, None, &label, true));
            if !matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
                break;
            }
        }
        failure
    }

    /// What a token is ended by: its refresh token, since with it goes everything that was got by it.
    fn form_that_ends(&self, token: &Token) -> String {
        let values = self.account.values();
        let ended = token.refresh.as_ref().unwrap_or(&token.access).expose();
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", ended)
            .append_pair("client_id", values.get("clientId"))
            .append_pair("client_secret", values.get("clientSecret"))
            .finish()
    }
}

impl Token {
    fn is_fresh(&self, now: Timestamp) -> bool {
        let ahead = self.expires.is_none_or(|expires| now.plus(AHEAD) < expires);
        ahead && self.renew.is_none_or(|renew| now < renew)
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

fn sensitive(value: &str, what: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Error::config(format!("`{what}` holds characters that no HTTP header may carry"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::config(format!("`{name}` is no name of an HTTP header")))
}
