//! How requests prove who sends them: key headers, or OAuth2.

use crate::{Login, Setting};

/// The setting that chooses between an app's own credentials and somebody's login.
pub(crate) const GRANT: &str = "grant";
/// Its value for the app's own credentials.
const CLIENT_CREDENTIALS: &str = "clientCredentials";
/// Its value for somebody's login.
pub(crate) const AUTHORIZATION_CODE: &str = "authorizationCode";

/// How an account's requests are authorised.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all.
    None,
    /// By headers that carry settings.
    Headers(Vec<(&'static str, Setting)>),
    /// By OAuth2 tokens.
    OAuth2(OAuth2),
}

/// Where a system gives OAuth2 tokens, and for what.
#[derive(Clone, Copy, Debug)]
pub struct OAuth2 {
    /// The path of the token endpoint, on the origin of the account's base URL.
    pub token_path: &'static str,
    /// Whether the app's own credentials are exchanged for a token (RFC 6749, 4.4).
    pub client_credentials: bool,
    /// How somebody logs in, where that is possible (RFC 6749, 4.1). Beside client credentials,
    /// each account's setting `grant` chooses.
    pub login: Option<Login>,
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
        Self::OAuth2(OAuth2 { token_path, client_credentials: true, login: None })
    }

    /// An OAuth2 login (authorization code), for the settings `clientId` and `clientSecret`.
    pub const fn authorization_code(token_path: &'static str, login: Login) -> Self {
        Self::OAuth2(OAuth2 { token_path, client_credentials: false, login: Some(login) })
    }

    /// Lets each account choose between client credentials and a login, by its setting `grant`.
    #[must_use]
    pub fn or_login(self, login: Login) -> Self {
        match self {
            Self::OAuth2(oauth2) => Self::OAuth2(OAuth2 { login: Some(login), ..oauth2 }),
            other => other,
        }
    }

    pub(crate) fn settings(&self) -> Vec<Setting> {
        match self {
            Self::None => vec![],
            Self::Headers(headers) => headers.iter().map(|(_, setting)| *setting).collect(),
            Self::OAuth2(oauth2) => {
                let mut settings = vec![
                    Setting::plain("clientId", "The client id of the OAuth2 app."),
                    Setting::secret("clientSecret", "The client secret of the OAuth2 app."),
                ];
                if oauth2.client_credentials && oauth2.login.is_some() {
                    settings.push(grant());
                }
                settings
            }
        }
    }
}

fn grant() -> Setting {
    Setting::plain(GRANT, "How the app gets its token.")
        .labelled("Access")
        .found_at("With a login the redirect address has to be entered in the app first.")
        .choices(&[
            (CLIENT_CREDENTIALS, "The app's own credentials"),
            (AUTHORIZATION_CODE, "Somebody logs in"),
        ])
        .or(CLIENT_CREDENTIALS)
        .not_identifying()
        .checked(|value| match value {
            CLIENT_CREDENTIALS | AUTHORIZATION_CODE => Ok(()),
            _ => Err(format!("it is `{CLIENT_CREDENTIALS}` or `{AUTHORIZATION_CODE}`")),
        })
}
