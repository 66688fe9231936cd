//! HTTP: any system with an API of its own, called by requests or calling by webhooks.
//!
//! Start with [`connector`]; each trigger and action has its file. What they promise, and how to
//! set them up, is in `about.md`, for whoever uses it.
//!
//! Must not know: engine, stores, flows, mappings' evaluation. It holds no state between calls.

mod received;

use connector::prelude::*;

use received::WebhookReceived;

/// An account that only receives has no base URL. No name of this domain leads anywhere (RFC 2606).
const NOWHERE: &str = "https://no-base-url.invalid";

/// From what came to a message.
const RECEIVED: &str = include_str!("received.jsonata");

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
        .about("Any HTTP API: webhooks from it.")
        .page(include_str!("about.md"))
        .privacy(Handling::ByHand, Handling::ByHand)
        .setting(webhook_user.or(""))
        .setting(webhook_secret.or("").checked(is_long))
        .webhook::<WebhookReceived>("received", RECEIVED)
}

/// A secret that can be guessed proves nothing.
fn is_long(secret: &str) -> Result<(), String> {
    if secret.is_empty() || secret.len() >= 16 {
        Ok(())
    } else {
        Err("16 characters or more are needed: `openssl rand -hex 32` makes a good one".to_owned())
    }
}
