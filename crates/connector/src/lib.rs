//! What a connector is: the SDK for connector authors.
//!
//! Start with [`PollingTrigger`], [`WebhookTrigger`] and [`Action`]: a connector is a list of types
//! that implement one of the three, put together by [`Connector`]. [`Api`] is how both talk to their system.
//!
//! This crate must not know flows, stores or the engine. A connector holds no state between
//! calls and cannot touch the store: only the engine writes state.

mod about;
mod account;
mod action;
mod api;
mod auth;
mod clock;
mod connector;
pub mod contact;
mod descriptor;
mod egress;
mod error;
mod heard;
mod limit;
mod login;
mod outcome;
mod partner_kit;
mod proof;
mod response;
mod secret;
mod session;
mod setting;
mod tested;
mod token;
mod token_call;
mod told;
mod trigger;
mod webhook;

pub use about::{About, Handling, Trouble};
pub use account::{Account, AccountError, Values};
pub use action::{Action, Batch, ErasedAction, ErasedItem, Item, Prepared, by_call};
pub use api::{Api, Observed, Request, Services};
pub use auth::{Auth, OAuth2};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use connector::{Connector, Failure, OutageAdvice};
pub use descriptor::{ActionDescriptor, TriggerDescriptor, TriggerKind};
pub use error::{Error, Result};
pub use heard::{ErasedHeard, HeardTrigger, Hook, Registered};
pub use limit::{Admission, Answer, Limit, Limiter, Permit, Unlimited};
pub use login::{Begun, Login, LoginState, Revocation, Revoked};
pub use outcome::{Outcome, Outcomes, Rejection};
pub use partner_kit::{Filled, PartnerKit};
pub use proof::{Encoding, Hash, Hmac, Proof, SignedTime, Unproven};
pub use response::Response;
pub use secret::{Redactor, Secret};
pub use setting::Setting;
pub use tested::{Check, Test, Tested, Verdict};
pub use token::{Slot, Token, Tokens, Unkept};
pub use told::ToldTrigger;
pub use trigger::{Changes, Completed, ErasedTrigger, Page, PollingTrigger, Record, Scan, Want};
pub use webhook::{Answers, ErasedWebhook, Received, Refusal, Reply, WebhookTrigger};

/// What a connector's file imports.
pub mod prelude {
    pub use crate::{
        Action, Api, Auth, Batch, Changes, Completed, Connector, Error, Handling, HeardTrigger,
        Hook, Item, Limit, Login, Outcome, Outcomes, Page, PollingTrigger, Proof, Received, Record,
        Refusal, Registered, Rejection, Reply, Response, Result, Revocation, Scan, Secret, Setting,
        Tested, Timestamp, Want, WebhookTrigger,
    };
    pub use async_trait::async_trait;
    pub use http::{HeaderName, Method, StatusCode};
    pub use schemars::{self, JsonSchema};
    pub use serde::{self, Deserialize, Serialize, de::DeserializeOwned};
    pub use serde_json::{self, Value, json, value::RawValue};
}
