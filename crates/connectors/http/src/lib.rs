//! HTTP: any system with an API of its own, called by requests or calling by webhooks.
//!
//! Start with [`connector`]; each trigger and action has its file. What they promise, and how to
//! set them up, is in `about.md`, for whoever uses it.
//!
//! Must not know: engine, stores, flows, mappings' evaluation. It holds no state between calls.

mod received;
mod request;
mod template;

use connector::prelude::*;

use received::WebhookReceived;
use request::SendRequest;

/// An account that only receives has no base URL. No name of this domain leads anywhere (RFC 2606).
pub(crate) const NOWHERE: &str = "https://no-base-url.invalid";

/// From what came to a message.
const RECEIVED: &str = include_str!("received.jsonata");

/// From a message to a request.
const REQUEST: &str = include_str!("request.jsonata");

/// The settings that requests are authorised by.
pub(crate) const BEARER_TOKEN: &str = "bearerToken";
pub(crate) const USER: &str = "user";
pub(crate) const PASSWORD: &str = "password";
pub(crate) const KEY_HEADER: &str = "keyHeader";
pub(crate) const API_KEY: &str = "apiKey";

/// No answer is read beyond so many bytes.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// The secret that senders of webhooks prove themselves by.
pub(crate) const WEBHOOK_SECRET: &str = "webhookSecret";

/// The user's name that they send with it.
pub(crate) const WEBHOOK_USER: &str = "webhookUser";

/// HTTP's triggers and actions.
pub fn connector() -> Connector {
    let webhook_user = Setting::plain(
        WEBHOOK_USER,
        "The user's name that webhooks come with, where `authentication` is `basic`.",
    );
    let webhook_secret = Setting::secret(
        WEBHOOK_SECRET,
        "What webhooks are proven by: the token, the password or the signing key that their sender \
         has too. `openssl rand -hex 32` makes one.",
    );
    Connector::new("http", NOWHERE, Auth::None)
        .about("Any HTTP API: requests to it, and webhooks from it.")
        .page(include_str!("about.md"))
        .privacy(Handling::ByHand, Handling::ByHand)
        .setting(Setting::secret(BEARER_TOKEN, "Sent as `Authorization: Bearer …`.").or(""))
        .setting(Setting::plain(USER, "The user's name of Basic authentication.").or(""))
        .setting(Setting::secret(PASSWORD, "The password of Basic authentication.").or(""))
        .setting(Setting::plain(KEY_HEADER, "The header that carries `apiKey`.").or(""))
        .setting(Setting::secret(API_KEY, "A key that goes in a header of its own.").or(""))
        .setting(webhook_user.or(""))
        .setting(webhook_secret.or("").checked(is_long))
        .limit("default", 4)
        .largest_answer_of(LARGEST_ANSWER)
        .webhook::<WebhookReceived>("received", RECEIVED)
        .action::<SendRequest>("request", REQUEST)
}

/// A secret that can be guessed proves nothing.
fn is_long(secret: &str) -> Result<(), String> {
    if secret.is_empty() || secret.len() >= 16 {
        Ok(())
    } else {
        Err("16 characters or more are needed: `openssl rand -hex 32` makes a good one".to_owned())
    }
}
