//! OAuth2 logins: where a person is sent, and what becomes of the code that they come back with.

use oauth2::PkceCodeChallenge;
use url::Url;

use crate::{Api, Error, Result, Secret, Timestamp, Token};

/// How somebody logs in at a system by OAuth2 (authorization code, RFC 6749, 4.1).
#[derive(Clone, Copy, Debug)]
pub struct Login {
    /// The path of the page, on the origin of the account's base URL.
    pub authorize_path: &'static str,
    /// What the system wants in the address beside the standard parameters.
    pub parameters: &'static [(&'static str, &'static str)],
    /// The scopes that are asked for; none leaves them to the app.
    pub scopes: &'static [&'static str],
    /// Whether the server takes a proof key (PKCE, S256, RFC 7636).
    pub pkce: bool,
    /// How a token is ended at the system, where that is possible.
    pub revocation: Option<Revocation>,
}

/// How a system ends a token. Paths are on the origin of the account's base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// `DELETE` of the first of these paths that is there (not 404 or 405), with the token itself as
    /// the credential.
    Delete(&'static [&'static str]),
    /// `POST` of the token to this path (RFC 7009).
    Post(&'static str),
}

impl Login {
    /// A login at the page with this path, with a proof key.
    pub const fn at(authorize_path: &'static str) -> Self {
        Self { authorize_path, parameters: &[], scopes: &[], pkce: true, revocation: None }
    }

    /// Adds what the system wants in the address beside the standard parameters.
    #[must_use]
    pub const fn with(mut self, parameters: &'static [(&'static str, &'static str)]) -> Self {
        self.parameters = parameters;
        self
    }

    /// Asks for scopes.
    #[must_use]
    pub const fn scopes(mut self, scopes: &'static [&'static str]) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sends no proof key, to a server that does not say that it takes one.
    #[must_use]
    pub const fn without_proof_key(mut self) -> Self {
        self.pkce = false;
        self
    }

    /// Says how a token is ended.
    #[must_use]
    pub const fn revoked_by(mut self, revocation: Revocation) -> Self {
        self.revocation = Some(revocation);
        self
    }
}

/// A login that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Where the person goes. It holds no secret but the state.
    pub url: Url,
    /// What proves that the code is redeemed by who began, where the server takes that.
    pub verifier: Option<Secret>,
}

/// What is known of an account's login, without secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginState {
    /// When the token ends, where the system says so.
    pub expires: Option<Timestamp>,
    /// Whether it can be renewed without a person.
    pub renewable: bool,
    /// Whether a renewal broke off, so that the system may not take the next one.
    pub renewing: bool,
}

/// What became of a token at its system when it was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// There was none.
    Nothing,
    /// It ended there.
    Yes,
    /// The system has no way to end it: it ends by itself.
    NotOffered,
    /// The system did not confirm that it ended.
    Unconfirmed(String),
}

impl Api {
    /// Begins a login: `state` comes back with the person, at `redirect_url`.
    pub fn begin_login(&self, redirect_url: &str, state: &Secret) -> Result<Begun> {
        let account = self.account();
        let login = account.login().ok_or_else(|| no_login(account.name()))?;
        let mut url = account.base_url().clone();
        url.set_path(login.authorize_path);
        let mut verifier = None;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", account.values().get("clientId"))
            .append_pair("redirect_uri", redirect_url)
            .append_pair("state", state.expose());
        if !login.scopes.is_empty() {
            query.append_pair("scope", &login.scopes.join(" "));
        }
        for (name, value) in login.parameters {
            query.append_pair(name, value);
        }
        if login.pkce {
            let (challenge, secret) = PkceCodeChallenge::new_random_sha256();
            query.append_pair("code_challenge", challenge.as_str());
            query.append_pair("code_challenge_method", challenge.method().as_str());
            verifier = Some(Secret::new(secret.into_secret()));
        }
        drop(query);
        Ok(Begun { url, verifier })
    }

    /// Exchanges the code of a login for a token, which is not used or kept yet.
    pub async fn redeem(
        &self,
        code: &Secret,
        redirect_url: &str,
        verifier: Option<&Secret>,
    ) -> Result<Token> {
        self.session().redeem(self.http(), code, redirect_url, verifier).await
    }

    /// Uses a token from now on, and keeps it: durable when it returns.
    pub async fn log_in(&self, token: Token) -> Result<()> {
        self.session().log_in(token).await
    }

    /// What is known of the login; `None` if nobody logged in.
    pub async fn login_state(&self) -> Result<Option<LoginState>> {
        self.session().state().await
    }

    /// Renews the token now, whatever is left of it.
    pub async fn renew(&self) -> Result<()> {
        self.session().renew(self.http()).await
    }

    /// Ends the token at its system where that is possible, and forgets it.
    pub async fn log_out(&self) -> Result<Revoked> {
        self.session().log_out(self.http()).await
    }
}

fn no_login(account: &str) -> Error {
    Error::config(format!(
        "account \"{account}\" is not one that somebody logs in for: its settings are all it needs"
    ))
}
