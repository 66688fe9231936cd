//! Faithful local stand-ins of the vendors' APIs, with faults on demand.
//!
//! Start with [`Sandbox`]: it serves CleverReach and CleverTap on two loopback ports, and its
//! methods seed, change, read and break them. The same controls are served over HTTP below
//! `/_sandbox/` on each port (`control.rs`). One file a vendor's endpoint: `cleverreach/`,
//! `clevertap/`; `server.rs` is the one place where a request passes faults, counters and limits.
//!
//! What the vendors' documentation leaves open is a field of [`Switches`].
//!
//! It must not know any other crate of this workspace: a stand-in that shared code with the
//! connectors would share their mistakes.

mod answer;
mod call;
mod cleverreach;
mod clevertap;
mod clock;
mod control;
mod fault;
mod gathering;
mod lock;
mod options;
mod outgoing;
mod random;
mod sandbox;
mod server;
mod stats;

pub use cleverreach::{Blacklisted, Mail, MailKind, Receiver, Stamp, Touch, What};
pub use clevertap::{
    AttributionSwitches, Delivered, Disabled, NoDevice, NoReport, OrderAnswer, OrderSwitches,
    Ordered, Prefix, ReadingSwitches, Refused, TakenAnswer, UnknownCampaign, UploadSwitches,
    Uploaded, Utms, UtmsIn, Zone,
};
pub use fault::{Action, Fault, FaultState, Times};
pub use options::{
    BadCredentials, BlacklistedUpsert, Credentials, DeleteAnswer, EmptyGroup, GroupSeed,
    MissingProfile, Options, OrderAgain, OversizedPage, Switches, UnknownAttribute, UpsertTags,
};
pub use sandbox::{Error, Sandbox};
pub use stats::{Stats, Vendor, VendorStats};
