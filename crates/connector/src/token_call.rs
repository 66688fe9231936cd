//! A call of an account's token endpoint: how the `oauth2` crate reaches it, and what its refusals mean.

use std::pin::Pin;

use oauth2::basic::{BasicClient, BasicErrorResponse, BasicErrorResponseType};
use oauth2::{
    AsyncHttpClient, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, RequestTokenError, TokenUrl,
};
use serde_json::Value;

use crate::{Account, Error, Redactor, Result, Timestamp, response};

/// No token answer is larger, in bytes.
pub(crate) const BODY: usize = 64 * 1024;

type Client =
    BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// Why the token endpoint gave no token.
pub(crate) enum Refusal {
    /// The grant is spent: the code, or the refresh token.
    Grant(String),
    Other(Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Grant(reason) => Self::Unauthorized { reason },
            Refusal::Other(error) => error,
        }
    }
}

/// How the `oauth2` crate reaches the token endpoint. Token calls never follow redirects, and
/// their answers are capped.
// A closure would do, but the compiler cannot see that its future may change threads.
pub(crate) struct TokenCall<'a> {
    pub(crate) http: &'a reqwest::Client,
    pub(crate) url: TokenUrl,
    pub(crate) label: String,
    pub(crate) redactor: Redactor,
    pub(crate) now: Timestamp,
}

impl<'c> AsyncHttpClient<'c> for TokenCall<'_> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

impl TokenCall<'_> {
    pub(crate) fn client(&self, account: &Account) -> Client {
        let values = account.values();
        BasicClient::new(ClientId::new(values.get("clientId").to_owned()))
            .set_client_secret(ClientSecret::new(values.get("clientSecret").to_owned()))
            .set_token_uri(self.url.clone())
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse> {
        let (http, label) = (self.http, self.label.as_str());
        let request = reqwest::Request::try_from(request)
            .map_err(|error| Error::config(format!("{label}: {error}")))?;
        let answer = http.execute(request).await;
        let answer = answer.map_err(|error| response::transport_error(error, label, true))?;
        let status = answer.status();
        let retry_after = response::retry_after(answer.headers(), self.now);
        let body = response::read_body(answer, BODY, label, true).await?;
        // Only a refusal in OAuth2's own words is left to the crate, which tells every other one by
        // its body alone: a 401 of a proxy would be something that is no token.
        let says_why = serde_json::from_slice::<Value>(&body)
            .is_ok_and(|body| body.get("error").is_some_and(Value::is_string));
        let refused = matches!(status.as_u16(), 400 | 401) && says_why;
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

    pub(crate) fn refusal(&self, error: RequestTokenError<Error, BasicErrorResponse>) -> Refusal {
        let label = &self.label;
        match error {
            RequestTokenError::ServerResponse(refusal) => {
                let said = self.redactor.redact(&refusal.to_string());
                let reason = format!("{label}: the credentials were refused ({said})");
                match refusal.error() {
                    BasicErrorResponseType::InvalidClient
                    | BasicErrorResponseType::UnauthorizedClient => {
                        Refusal::Other(Error::Unauthorized { reason })
                    }
                    _ => Refusal::Grant(reason),
                }
            }
            // A 401 in other words than OAuth2's says nothing of the client.
            RequestTokenError::Request(Error::Unauthorized { reason }) => Refusal::Grant(reason),
            RequestTokenError::Request(error) => Refusal::Other(error),
            // What cannot be read may hold a token: it is not quoted.
            RequestTokenError::Parse(..) => Refusal::Other(Error::retry(format!(
                "{label} answered something else than a token"
            ))),
            RequestTokenError::Other(problem) => {
                Refusal::Other(Error::retry(format!("{label}: {problem}")))
            }
        }
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
