//! How requests prove who sends them: key headers, or OAuth2 with tokens renewed once for all.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, header};
use oauth2::basic::BasicClient;
use oauth2::{
    AsyncHttpClient, ClientId, ClientSecret, HttpRequest, HttpResponse, RefreshToken,
    RequestTokenError, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Account, Clock, Error, Redactor, Result, Secret, Services, Setting, Timestamp, response,
};

/// A token is renewed this long before it ends, so that it does not end on the way.
const AHEAD: Duration = Duration::from_secs(60);
/// No token answer is larger.
const TOKEN_BODY: usize = 64 * 1024;

/// How an account's requests are authorised.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all.
    None,
    /// By headers that carry settings.
    Headers(Vec<(&'static str, Setting)>),
    /// By OAuth2 client credentials (RFC 6749, 4.4), with a refresh token where one is given.
    ClientCredentials {
        /// The path of the token endpoint, on the origin of the account's base URL.
        token_path: &'static str,
    },
}

impl Auth {
    /// One secret in one header, from the setting `apiKey`.
    pub fn api_key(header: &'static str) -> Self {
        Self::Headers(vec![(header, Setting::secret("apiKey", "The API key."))])
    }

    /// Headers that carry settings.
    pub fn headers(headers: impl IntoIterator<Item = (&'static str, Setting)>) -> Self {
        Self::Headers(headers.into_iter().collect())
    }

    /// OAuth2 client credentials, from the settings `clientId` and `clientSecret`.
    pub const fn client_credentials(token_path: &'static str) -> Self {
        Self::ClientCredentials { token_path }
    }

    pub(crate) fn settings(&self) -> Vec<Setting> {
        match self {
            Self::None => vec![],
            Self::Headers(headers) => headers.iter().map(|(_, setting)| *setting).collect(),
            Self::ClientCredentials { .. } => vec![
                Setting::plain("clientId", "The client id of the OAuth2 app."),
                Setting::secret("clientSecret", "The client secret of the OAuth2 app."),
            ],
        }
    }
}

/// An OAuth2 token.
#[derive(Clone, Debug)]
pub struct Token {
    /// What goes into the `Authorization` header.
    pub access: Secret,
    /// What renews it, where the system gives one.
    pub refresh: Option<Secret>,
    /// When it ends, where the system says so.
    pub expires: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredToken {
    access: String,
    refresh: Option<String>,
    expires: Option<Timestamp>,
}

impl Token {
    /// The token as bytes to be sealed; never to be shown.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = StoredToken {
            access: self.access.expose().to_owned(),
            refresh: self.refresh.as_ref().map(|token| token.expose().to_owned()),
            expires: self.expires,
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads what [`Token::to_bytes`] wrote; `None` if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let stored: StoredToken = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            access: Secret::new(stored.access),
            refresh: stored.refresh.map(Secret::new),
            expires: stored.expires,
        })
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now.plus(AHEAD) < expires)
    }
}

/// Keeps tokens across restarts; the engine provides it, keyed by the account's identity.
#[async_trait]
pub trait Tokens: Send + Sync + 'static {
    /// The token that was kept, if any.
    async fn load(&self, identity: &str) -> Result<Option<Token>>;
    /// Keeps a token, sealed.
    async fn save(&self, identity: &str, token: &Token) -> Result<()>;
}

/// Keeps no tokens, for a test of one connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unkept;

#[async_trait]
impl Tokens for Unkept {
    async fn load(&self, _identity: &str) -> Result<Option<Token>> {
        Ok(None)
    }

    async fn save(&self, _identity: &str, _token: &Token) -> Result<()> {
        Ok(())
    }
}

/// The authorisation of one account, shared by everything that uses it.
pub(crate) struct Session {
    account: Account,
    identity: String,
    tokens: Arc<dyn Tokens>,
    clock: Arc<dyn Clock>,
    // Held across the token request on purpose: whoever waits gets the token just fetched.
    token: tokio::sync::Mutex<Option<Token>>,
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
        Self { account, identity, tokens, clock, token: tokio::sync::Mutex::new(None) }
    }

    /// Authorises a request. `refused` is a token that was just answered with 401: if it is still
    /// the present one, it is renewed, once however many ask.
    pub(crate) async fn authorise(
        &self,
        http: &reqwest::Client,
        refused: Option<&Secret>,
    ) -> Result<Authorised> {
        match self.account.auth() {
            Auth::None => Ok(Authorised { headers: vec![], token: None }),
            Auth::Headers(headers) => {
                let headers = headers.iter().map(|(name, setting)| {
                    let value = self.account.values().get(setting.name);
                    Ok((header_name(name)?, sensitive(value, setting.name)?))
                });
                Ok(Authorised { headers: headers.collect::<Result<_>>()?, token: None })
            }
            Auth::ClientCredentials { token_path } => {
                let token = self.token(http, token_path, refused).await?;
                let value = sensitive(&format!("Bearer {}", token.expose()), "access token")?;
                Ok(Authorised { headers: vec![(header::AUTHORIZATION, value)], token: Some(token) })
            }
        }
    }

    async fn token(
        &self,
        http: &reqwest::Client,
        path: &str,
        refused: Option<&Secret>,
    ) -> Result<Secret> {
        let mut held = self.token.lock().await;
        if held.is_none() {
            *held = self.tokens.load(&self.identity).await?;
        }
        let was_refused =
            |token: &Token| refused.is_some_and(|r| r.expose() == token.access.expose());
        if let Some(token) = held.as_ref()
            && token.is_fresh(self.clock.now())
            && !was_refused(token)
        {
            return Ok(token.access.clone());
        }
        let refresh = held.as_ref().and_then(|token| token.refresh.clone());
        let token = match refresh {
            Some(refresh) => match self.request(http, path, Some(&refresh)).await {
                // A refused refresh token is dead; the client's own credentials may still do.
                Err(Error::Unauthorized { .. }) => self.request(http, path, None).await?,
                other => other?,
            },
            None => self.request(http, path, None).await?,
        };
        self.tokens.save(&self.identity, &token).await?;
        let access = token.access.clone();
        *held = Some(token);
        Ok(access)
    }

    async fn request(
        &self,
        http: &reqwest::Client,
        path: &str,
        refresh: Option<&Secret>,
    ) -> Result<Token> {
        let values = self.account.values();
        let mut url = self.account.base_url().clone();
        url.set_path(path);
        let label = format!("POST {path}");
        let client = BasicClient::new(ClientId::new(values.get("clientId").to_owned()))
            .set_client_secret(ClientSecret::new(values.get("clientSecret").to_owned()))
            .set_token_uri(TokenUrl::from_url(url));
        let (redactor, now) = (self.account.redactor(), self.clock.now());
        let send = TokenCalls { http, label: &label, redactor, now };
        let answer = match refresh {
            None => client.exchange_client_credentials().request_async(&send).await,
            Some(token) => {
                let token = RefreshToken::new(token.expose().to_owned());
                client.exchange_refresh_token(&token).request_async(&send).await
            }
        };
        let answer = answer.map_err(|error| match error {
            RequestTokenError::ServerResponse(refusal) => Error::Unauthorized {
                reason: format!("{label}: the credentials were refused ({refusal})"),
            },
            RequestTokenError::Request(error) => error,
            // What cannot be read may hold a token: it is not quoted.
            RequestTokenError::Parse(..) => {
                Error::retry(format!("{label} answered something else than a token"))
            }
            RequestTokenError::Other(problem) => Error::retry(format!("{label}: {problem}")),
        })?;
        let now = self.clock.now();
        Ok(Token {
            access: Secret::new(answer.access_token().secret().clone()),
            refresh: answer
                .refresh_token()
                .map(|token| Secret::new(token.secret().clone()))
                .or_else(|| refresh.cloned()),
            expires: answer.expires_in().map(|lifetime| now.plus(lifetime)),
        })
    }
}

/// How the `oauth2` crate reaches the token endpoint. Token calls never follow redirects, and
/// their answers are capped.
// A closure would do, but the compiler cannot see that its future may change threads.
struct TokenCalls<'a> {
    http: &'a reqwest::Client,
    label: &'a str,
    redactor: Redactor,
    now: Timestamp,
}

impl<'c> AsyncHttpClient<'c> for TokenCalls<'_> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

impl TokenCalls<'_> {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse> {
        let (http, label) = (self.http, self.label);
        let request = reqwest::Request::try_from(request)
            .map_err(|error| Error::config(format!("{label}: {error}")))?;
        let answer = http.execute(request).await;
        let answer = answer.map_err(|error| response::transport_error(error, label, true))?;
        let status = answer.status();
        let retry_after = response::retry_after(answer.headers(), self.now);
        let body = response::read_body(answer, TOKEN_BODY, label, true).await?;
        // Only a refusal in OAuth2's own words is left to the crate, which tells every other one by
        // its body alone: a 401 of a proxy would be something that is no token.
        let says_why = serde_json::from_slice::<Value>(&body)
            .is_ok_and(|body| body.get("error").is_some_and(Value::is_string));
        let refused = status == http::StatusCode::BAD_REQUEST && says_why;
        if !status.is_success() && !refused {
            return Err(response::failure(
                status,
                &response::message(&body, &self.redactor),
                retry_after,
                label,
                true,
            ));
        }
        let mut answer = HttpResponse::new(without_odd_scope(&body).unwrap_or(body.to_vec()));
        *answer.status_mut() = status;
        Ok(answer)
    }
}

/// CleverReach may give `scope` as an array (its PHP SDK reads both), which RFC 6749 does not
/// know; nothing here uses the scope, so it is taken out.
fn without_odd_scope(body: &[u8]) -> Option<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    let object = answer.as_object_mut()?;
    if object.get("scope").is_some_and(|scope| !scope.is_string()) {
        object.remove("scope");
    }
    serde_json::to_vec(&answer).ok()
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
