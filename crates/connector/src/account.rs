//! Accounts: named credentials of a connector, checked before anything is sent.

use std::collections::BTreeMap;

use url::Url;

use crate::{Auth, Login, Redactor, Secret, Setting};

/// Why an account cannot be made from its settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// A required setting is not there.
    #[error("account \"{account}\" has no `{setting}`: {about}")]
    Missing {
        /// The account's name.
        account: String,
        /// The setting's key.
        setting: &'static str,
        /// What the setting is.
        about: &'static str,
    },
    /// The connector has no such setting.
    #[error("account \"{account}\" has an unknown setting `{setting}`; it takes {known}")]
    Unknown {
        /// The account's name.
        account: String,
        /// The key that was given.
        setting: String,
        /// The keys that there are.
        known: String,
    },
    /// A value does not have the form it needs; the value itself is not shown.
    #[error("`{setting}` of account \"{account}\": {problem}")]
    Invalid {
        /// The account's name.
        account: String,
        /// The setting's key.
        setting: String,
        /// What is wrong.
        problem: String,
    },
}

/// The checked values of an account's settings.
#[derive(Clone, Debug, Default)]
pub struct Values(BTreeMap<&'static str, (Setting, Secret)>);

impl Values {
    pub(crate) fn check(
        account: &str,
        settings: &[Setting],
        mut given: BTreeMap<String, String>,
    ) -> Result<Self, AccountError> {
        let mut values = BTreeMap::new();
        for setting in settings {
            let value = given.remove(setting.name).or_else(|| setting.default.map(str::to_owned));
            let value = value.map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
            if value.is_none() && setting.default == Some("") {
                continue;
            }
            let Some(value) = value else {
                return Err(AccountError::Missing {
                    account: account.to_owned(),
                    setting: setting.name,
                    about: setting.about,
                });
            };
            (setting.check)(&value).map_err(|problem| AccountError::Invalid {
                account: account.to_owned(),
                setting: setting.name.to_owned(),
                problem,
            })?;
            values.insert(setting.name, (*setting, Secret::new(value)));
        }
        match given.into_keys().next() {
            None => Ok(Self(values)),
            Some(setting) => Err(AccountError::Unknown {
                account: account.to_owned(),
                setting,
                known: settings.iter().map(|s| s.name).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// The value of a setting; empty if the connector has no such setting, or an optional one was
    /// left out.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |(_, value)| value.expose())
    }

    fn identifying(&self) -> impl Iterator<Item = (&str, &str)> {
        let plain = self.0.values().filter(|(setting, _)| setting.identifies);
        plain.map(|(setting, value)| (setting.name, value.expose()))
    }

    fn secrets(&self) -> impl Iterator<Item = Secret> {
        self.0.values().filter(|(setting, _)| setting.secret).map(|(_, value)| value.clone())
    }
}

/// Named credentials of a connector, ready for use.
#[derive(Clone, Debug)]
pub struct Account {
    name: String,
    connector: &'static str,
    base_url: Url,
    private: bool,
    values: Values,
    auth: Auth,
}

impl Account {
    pub(crate) fn new(
        name: &str,
        connector: &'static str,
        own_base_url: Option<&str>,
        default_base_url: &str,
        values: Values,
        auth: Auth,
    ) -> Result<Self, AccountError> {
        let invalid = |problem: String| AccountError::Invalid {
            account: name.to_owned(),
            setting: "baseUrl".to_owned(),
            problem,
        };
        let text = own_base_url.unwrap_or(default_base_url).trim();
        let base_url = Url::parse(text).map_err(|error| invalid(format!("{error}")))?;
        if !matches!(base_url.scheme(), "http" | "https") || base_url.host_str().is_none() {
            return Err(invalid("an http or https URL is needed".to_owned()));
        }
        if !base_url.username().is_empty() || base_url.password().is_some() {
            return Err(invalid("credentials do not belong in a URL".to_owned()));
        }
        if base_url.query().is_some() || base_url.fragment().is_some() {
            return Err(invalid("a base URL ends with its path".to_owned()));
        }
        let private = own_base_url.is_some() && crate::egress::names_private(&base_url);
        if base_url.scheme() == "http" && !private {
            return Err(invalid("https is needed: credentials would travel in clear".to_owned()));
        }
        Ok(Self { name: name.to_owned(), connector, base_url, private, values, auth })
    }

    /// The name in `towpath.yaml`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connector's name.
    pub const fn connector(&self) -> &'static str {
        self.connector
    }

    /// Where the system is.
    pub const fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// Who this account is to its system: a hash of connector, base URL and the settings that
    /// say so (client id, project id), and of its name where somebody logs in. Limits and tokens
    /// are keyed by it.
    pub fn identity(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part(self.connector);
        part(self.base_url.as_str());
        // An optional setting that is left out is no part: what came later must not change who it is.
        for (name, value) in self.values.identifying() {
            part(name);
            part(value);
        }
        // One app serves many: who logged in belongs to the account, not to the app.
        if self.login().is_some() {
            part("login");
            part(&self.name);
        }
        hasher.finalize().to_hex().as_str().to_owned()
    }

    /// Which credentials it has, secrets included: what `hash` makes of them, which must be keyed,
    /// so that nobody can try secrets on the result.
    pub fn fingerprint<T>(&self, hash: impl FnOnce(&[&[u8]]) -> T) -> T {
        let identity = self.identity();
        let mut parts = vec![identity.as_bytes()];
        for (name, (_, value)) in &self.values.0 {
            parts.extend([name.as_bytes(), value.expose().as_bytes()]);
        }
        hash(&parts)
    }

    /// The same account with secrets that are no settings of its file, but were kept for it: what a
    /// system gave when an address was registered there.
    #[must_use]
    pub fn with_kept(mut self, kept: impl IntoIterator<Item = (&'static str, Secret)>) -> Self {
        for (name, secret) in kept {
            self.values.0.insert(name, (Setting::secret(name, ""), secret));
        }
        self
    }

    /// The values of its settings.
    pub const fn values(&self) -> &Values {
        &self.values
    }

    /// How somebody logs in for it, if that is how it proves who it is.
    pub fn login(&self) -> Option<&Login> {
        let Auth::OAuth2(oauth2) = &self.auth else { return None };
        let chosen = self.values.get(crate::auth::GRANT) == crate::auth::AUTHORIZATION_CODE;
        oauth2.login.as_ref().filter(|_| !oauth2.client_credentials || chosen)
    }

    pub(crate) const fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Whether its own base URL names a private or loopback address.
    pub(crate) const fn is_private(&self) -> bool {
        self.private
    }

    /// Takes its secrets out of what is about to be shown.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.values.secrets())
    }
}
