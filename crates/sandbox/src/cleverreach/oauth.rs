//! Access and refresh tokens of CleverReach's OAuth2 endpoint.

use std::collections::{HashMap, HashSet};

use http::header;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::call::{Call, form_pairs};
use crate::options::{Credentials, Switches};
use crate::random::Random;

/// The tokens that are alive.
#[derive(Debug)]
pub(super) struct Tokens {
    random: Random,
    /// Access tokens and the epoch second at which each ends.
    access: HashMap<String, i64>,
    refresh: HashSet<String>,
    /// The codes of logins that were not exchanged yet, and the redirect address of each.
    codes: HashMap<String, String>,
}

impl Tokens {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed, 0x70),
            access: HashMap::new(),
            refresh: HashSet::new(),
            codes: HashMap::new(),
        }
    }

    /// Ends every access token.
    pub(super) fn expire(&mut self) {
        self.access.clear();
    }

    /// Gives how many seconds the token of a request is still good for; `None` where it is not.
    pub(super) fn remaining(&self, call: &Call, now: i64) -> Option<i64> {
        let token = call.bearer().or_else(|| call.parameter("token"))?;
        self.access.get(token).map(|end| end - now).filter(|left| *left > 0)
    }

    /// Ends every refresh token, as if CleverReach did not know them any more.
    pub(super) fn forget_logins(&mut self) {
        self.access.clear();
        self.refresh.clear();
    }

    /// Answers `GET /oauth/authorize.php`: who asks is logged in already and agrees, unless the
    /// switch says that they do not. The person is sent back with a code, or with the refusal.
    pub(super) fn authorize(
        &mut self,
        call: &Call,
        known: &Credentials,
        switches: &Switches,
    ) -> Answer {
        let given = |name: &str| call.parameter(name).unwrap_or_default();
        let refused = |text: &str| {
            Answer::json(400, &json!({ "error": "invalid_request", "error_description": text }))
        };
        if given("client_id") != known.client_id {
            return refused("The client id supplied is invalid");
        }
        if given("redirect_uri").is_empty() || given("response_type") != "code" {
            return refused("redirect_uri and response_type=code are needed");
        }
        if given("grant") != "basic" {
            return refused("grant=basic is needed");
        }
        let mut back = vec![("state", given("state").to_owned())];
        if switches.login_refused {
            back.push(("error", "access_denied".to_owned()));
            back.push(("error_description", "The user denied access".to_owned()));
        } else {
            let code = self.token();
            self.codes.insert(code.clone(), given("redirect_uri").to_owned());
            back.push(("code", code));
        }
        let query = back.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        let query = query.collect::<Vec<_>>().join("&");
        let joint = if given("redirect_uri").contains('?') { '&' } else { '?' };
        Answer::redirect(&format!("{}{joint}{query}", given("redirect_uri")))
    }

    /// Answers the `DELETE` of a token: ends the token that the request bears, and all logins with it.
    pub(super) fn revoke(&mut self, call: &Call, now: i64) -> Answer {
        if self.remaining(call, now).is_none() {
            return Answer::error(401, "Unauthorized");
        }
        self.forget_logins();
        Answer::json(200, &true)
    }

    /// Answers `POST /oauth/token.php`; the flag says whether a token was issued.
    pub(super) fn issue(
        &mut self,
        call: &Call,
        body: &[u8],
        known: &Credentials,
        switches: &Switches,
        (now, lifetime): (i64, i64),
    ) -> (Answer, bool) {
        let form = Form::read(call, body);
        let refused = |error: &str, description: &str| {
            let body = json!({ "error": error, "error_description": description });
            (Answer::json(400, &body), false)
        };
        let (id, secret) =
            call.basic().unwrap_or_else(|| (form.get("client_id"), form.get("client_secret")));
        let grant = form.get("grant_type");
        if grant.is_empty() {
            return refused("invalid_request", "The grant type was not specified in the request");
        }
        if !["client_credentials", "refresh_token", "authorization_code"].contains(&grant.as_str())
        {
            let text = format!("Grant type \"{grant}\" not supported");
            return refused("unsupported_grant_type", &text);
        }
        if id != known.client_id || secret != known.client_secret {
            return refused("invalid_client", "The client credentials are invalid");
        }
        match grant.as_str() {
            "refresh_token" if !self.refresh.remove(&form.get("refresh_token")) => {
                return refused("invalid_grant", "Invalid refresh token");
            }
            "authorization_code"
                if self.codes.remove(&form.get("code")) != Some(form.get("redirect_uri")) =>
            {
                return refused("invalid_grant", "Authorization code doesn't exist or is invalid");
            }
            _ => {}
        }
        let access = self.token();
        self.access.retain(|_, end| *end > now);
        self.access.insert(access.clone(), now.saturating_add(lifetime));
        let scope = if switches.scope_as_array {
            json!(["basic", "recipients"])
        } else {
            json!("basic recipients")
        };
        let mut answer = json!({
            "access_token": access, "expires_in": lifetime, "token_type": "bearer", "scope": scope,
        });
        if (grant != "client_credentials" || switches.client_credentials_refresh)
            && let Some(members) = answer.as_object_mut()
        {
            let refresh = self.token();
            members.insert("refresh_token".to_owned(), Value::String(refresh.clone()));
            self.refresh.insert(refresh);
        }
        (Answer::json(200, &answer), true)
    }

    fn token(&mut self) -> String {
        format!("{:016x}{:016x}{:08x}", self.random.next(), self.random.next(), self.random.next())
    }
}

/// Text as a value in a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~') => escaped.push(c),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The parameters of a token request, sent as a form or as JSON.
struct Form(Map<String, Value>);

impl Form {
    fn read(call: &Call, body: &[u8]) -> Self {
        let json = call
            .header(header::CONTENT_TYPE.as_str())
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
        if json {
            return Self(serde_json::from_slice(body).unwrap_or_default());
        }
        let pairs = form_pairs(&String::from_utf8_lossy(body));
        Self(pairs.into_iter().map(|(key, value)| (key, Value::String(value))).collect())
    }

    fn get(&self, name: &str) -> String {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}
