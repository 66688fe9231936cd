//! How the sender of a webhook proves who it is, checked without telling how near a guess came.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::{Account, Received, Timestamp};

/// How a sender proves who it is. Secrets are settings of the account, never fields of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: whoever knows the address may send. Only where a flow says so in words.
    None,
    /// A secret in a header.
    Header {
        /// The header's name.
        name: String,
        /// What stands before the secret, such as `Bearer `.
        prefix: String,
        /// The account's setting that holds the secret.
        secret: &'static str,
    },
    /// User and password (RFC 7617).
    Basic {
        /// The account's setting that holds the user's name.
        user: &'static str,
        /// The account's setting that holds the password.
        password: &'static str,
    },
    /// A keyed hash (RFC 2104) of the body, and of the time where the sender tells it.
    Hmac(Hmac),
}

/// How a request is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// The account's setting that holds the key.
    pub secret: &'static str,
    /// The header with the signature.
    pub header: String,
    /// What stands before the signature, such as `sha256=`.
    pub prefix: String,
    /// The hash.
    pub hash: Hash,
    /// How the signature is written.
    pub encoding: Encoding,
    /// The time that is signed with the body: then a request that was recorded cannot be sent
    /// again later.
    pub time: Option<SignedTime>,
}

/// The time of a signature, in seconds since 1970, which stands before a full stop and the body in
/// what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTime {
    /// The header with the time.
    pub header: String,
    /// How far it may be from ours, before or after.
    pub window: Duration,
}

/// A hash function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, which some systems still sign with; as a keyed hash it is not broken.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits, small or capital.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

/// Why a request is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It brings no proof.
    #[error("{0}")]
    Missing(String),
    /// Its proof is wrong, or too old.
    #[error("{0}")]
    Wrong(&'static str),
    /// Nothing can be held against the account: it lacks the secret.
    #[error("account \"{account}\" has no `{setting}`, which its webhooks are proven by")]
    Unset {
        /// The account's name.
        account: String,
        /// The setting's name.
        setting: &'static str,
    },
}

impl Proof {
    /// Checks what a request brings.
    pub fn check(&self, account: &Account, request: &Received) -> Result<(), Unproven> {
        let secret = |setting: &'static str| match account.values().get(setting) {
            "" => Err(Unproven::Unset { account: account.name().to_owned(), setting }),
            secret => Ok(secret),
        };
        match self {
            Self::None => Ok(()),
            Self::Header { name, prefix, secret: setting } => {
                let secret = secret(setting)?;
                let brought = brought(request, name)?.strip_prefix(prefix.as_str());
                let brought = brought.ok_or(Unproven::Wrong("the token has another form"))?;
                if same(brought.trim().as_bytes(), secret.as_bytes()) {
                    Ok(())
                } else {
                    Err(Unproven::Wrong("the token is another one"))
                }
            }
            Self::Basic { user, password } => {
                let expected = format!("{}:{}", secret(user)?, secret(password)?);
                let brought = brought(request, "authorization")?;
                let encoded =
                    brought.split_once(' ').filter(|it| it.0.eq_ignore_ascii_case("basic"));
                let encoded = encoded.ok_or(Unproven::Wrong("it is not Basic authentication"))?;
                let brought = STANDARD.decode(encoded.1.trim()).unwrap_or_default();
                if same(&brought, expected.as_bytes()) {
                    Ok(())
                } else {
                    Err(Unproven::Wrong("user or password are others"))
                }
            }
            Self::Hmac(signed) => signed.check(secret(signed.secret)?, request),
        }
    }

    /// What tells one proven request from every other, if its proof does.
    pub fn key(&self, request: &Received) -> Option<String> {
        match self {
            Self::Hmac(signed) if signed.time.is_some() => {
                request.header(&signed.header).map(str::to_owned)
            }
            _ => None,
        }
    }

    /// The settings of the account that it needs.
    pub fn settings(&self) -> Vec<&'static str> {
        match self {
            Self::None => vec![],
            Self::Header { secret, .. } | Self::Hmac(Hmac { secret, .. }) => vec![secret],
            Self::Basic { user, password } => vec![user, password],
        }
    }
}

impl Hmac {
    fn check(&self, secret: &str, request: &Received) -> Result<(), Unproven> {
        let wrong = Unproven::Wrong("the signature does not fit");
        let brought = brought(request, &self.header)?;
        let Some(brought) = brought.strip_prefix(self.prefix.as_str()) else {
            return Err(Unproven::Wrong("the signature has another form"));
        };
        let signature = match self.encoding {
            Encoding::Hex => from_hex(brought),
            Encoding::Base64 => STANDARD.decode(brought).ok(),
        };
        let Some(signature) = signature else { return Err(wrong) };
        let mut text = vec![];
        if let Some(time) = &self.time {
            let told = self::brought(request, &time.header)?;
            let seconds = told.parse().map(Timestamp::from_secs);
            let at = seconds.map_err(|_| Unproven::Wrong("the time is no number of seconds"))?;
            if at.since(request.at) > time.window || request.at.since(at) > time.window {
                return Err(Unproven::Wrong("the signature is too old, or a clock is wrong"));
            }
            text.extend_from_slice(told.as_bytes());
            text.push(b'.');
        }
        text.extend_from_slice(&request.body);
        hmac::verify(&self.key(secret), &text, &signature).map_err(|_| wrong)
    }

    /// Signs a body as a sender does, for tests and for what sends.
    pub fn sign(&self, secret: &str, at: Timestamp, body: &[u8]) -> String {
        let mut text = vec![];
        if self.time.is_some() {
            text.extend_from_slice(format!("{}.", at.secs()).as_bytes());
        }
        text.extend_from_slice(body);
        let signature = hmac::sign(&self.key(secret), &text);
        let written = match self.encoding {
            Encoding::Hex => signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            Encoding::Base64 => STANDARD.encode(signature),
        };
        format!("{}{written}", self.prefix)
    }

    fn key(&self, secret: &str) -> hmac::Key {
        let hash = match self.hash {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::Key::new(hash, secret.as_bytes())
    }
}

fn brought<'r>(request: &'r Received, header: &str) -> Result<&'r str, Unproven> {
    request.header(header).ok_or_else(|| Unproven::Missing(format!("`{header}` is not there once")))
}

/// Whether two texts are the same; how long it takes tells nothing of where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    // Hashes are compared in constant time, and theirs say nothing of the texts.
    blake3::hash(a) == blake3::hash(b)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(high)? * 16 + digit(low)?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::{HeaderMap, Method};

    use super::*;
    use crate::{Auth, Connector, Setting};

    const NOW: Timestamp = Timestamp::from_secs(1_600_000_000);

    fn account(values: &[(&str, &str)]) -> Account {
        let optional = |name| Setting::secret(name, "").or("");
        let connector = Connector::new("example", "https://api.example.test", Auth::None)
            .setting(Setting::plain("user", "").or(""))
            .setting(optional("secret"));
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        connector.account("hooks", None, values.collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn request(headers: &[(&'static str, &str)], body: &'static str) -> Received {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let body = body.as_bytes().into();
        Received { method: Method::POST, query: vec![], headers, body, at: NOW }
    }

    #[test]
    fn a_token_and_a_password_have_to_be_the_accounts() {
        let hooks = account(&[("user", "crm"), ("secret", "not-a-real-secret")]);
        let token = Proof::Header {
            name: "x-token".to_owned(),
            prefix: "Bearer ".to_owned(),
            secret: "secret",
        };
        let check = |proof: &Proof, name: &'static str, value: &str| {
            proof.check(&hooks, &request(&[(name, value)], "{}"))
        };
        assert_eq!(check(&token, "x-token", "Bearer not-a-real-secret"), Ok(()));
        for wrong in ["not-a-real-secret", "Bearer not-a-real-secre", "Bearer ", ""] {
            assert!(matches!(check(&token, "x-token", wrong), Err(Unproven::Wrong(_))), "{wrong}");
        }
        assert!(matches!(check(&token, "x-other", "x"), Err(Unproven::Missing(_))));
        let twice = [("x-token", "Bearer x"), ("x-token", "Bearer not-a-real-secret")];
        let mut both = request(&twice[..1], "{}");
        both.headers.append("x-token", twice[1].1.parse().unwrap());
        assert!(matches!(token.check(&hooks, &both), Err(Unproven::Missing(_))));

        let basic = Proof::Basic { user: "user", password: "secret" };
        let encoded = |text: &str| format!("basic {}", STANDARD.encode(text));
        assert_eq!(check(&basic, "authorization", &encoded("crm:not-a-real-secret")), Ok(()));
        for wrong in ["crm:", "crm:not-a-real-secret ", ":", "crm"] {
            let brought = check(&basic, "authorization", &encoded(wrong));
            assert!(matches!(brought, Err(Unproven::Wrong(_))), "{wrong}");
        }
        // Without a secret nothing is believed, an empty one least of all.
        let unset = account(&[]);
        let empty = request(&[("x-token", "Bearer ")], "{}");
        assert!(matches!(token.check(&unset, &empty), Err(Unproven::Unset { .. })));
    }

    #[test]
    fn a_signature_covers_body_and_time() {
        let hooks = account(&[("secret", "not-a-real-secret")]);
        for (hash, encoding) in [
            (Hash::Sha1, Encoding::Hex),
            (Hash::Sha256, Encoding::Hex),
            (Hash::Sha256, Encoding::Base64),
            (Hash::Sha512, Encoding::Base64),
        ] {
            let signed = Hmac {
                secret: "secret",
                header: "x-signature".to_owned(),
                prefix: "v1=".to_owned(),
                hash,
                encoding,
                time: Some(SignedTime {
                    header: "x-time".to_owned(),
                    window: Duration::from_secs(300),
                }),
            };
            let signature = signed.sign("not-a-real-secret", NOW, b"{}");
            let proof = Proof::Hmac(signed);
            let check = |signature: &str, time: &str, body, after: i64| {
                let mut request = request(&[("x-signature", signature), ("x-time", time)], body);
                request.at = Timestamp::from_secs(NOW.secs() + after);
                proof.check(&hooks, &request).is_ok()
            };
            assert!(check(&signature, "1600000000", "{}", 0));
            assert!(check(&signature, "1600000000", "{}", 300));
            assert!(!check(&signature, "1600000000", "{}", 301), "a replay");
            assert!(!check(&signature, "1600000000", "{}", -301), "from the future");
            assert!(!check(&signature, "1600000001", "{}", 0), "another time");
            assert!(!check(&signature, "1600000000", "[]", 0), "another body");
            assert!(!check(&signature, "soon", "{}", 0));
            assert!(!check("v1=", "1600000000", "{}", 0));
            assert!(!check(signature.trim_start_matches("v1="), "1600000000", "{}", 0));
        }
    }

    /// The first test case of RFC 4231.
    #[test]
    fn the_hash_is_the_one_that_others_know() {
        let signed = Hmac {
            secret: "secret",
            header: String::new(),
            prefix: String::new(),
            hash: Hash::Sha256,
            encoding: Encoding::Hex,
            time: None,
        };
        let key = "\u{b}".repeat(20);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(signed.sign(&key, NOW, b"Hi There"), expected);
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(from_hex("00Ff"), Some(vec![0, 255]));
        assert_eq!((from_hex("0"), from_hex("0g"), from_hex("é")), (None, None, None));
    }
}
