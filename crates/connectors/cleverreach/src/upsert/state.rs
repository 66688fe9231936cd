//! What is written of a receiver's state: its times, its source, and the mail that asks it to
//! confirm.

use std::borrow::Cow;

use connector::contact::Consent;
use serde::Serialize;

use super::Receiver;
use super::known::{self, Mail as Found};
use crate::members::{Member, Members};
use crate::upsert_receiver::{Activation, UpsertReceiver};

/// Where new receivers come from if the mapping does not say.
const SOURCE: &str = "Towpath";

/// What of a row says something about the state; what is left out stays.
#[derive(Default)]
pub(super) struct State<'a> {
    pub(super) registered: Option<i64>,
    pub(super) activated: Option<i64>,
    pub(super) deactivated: Option<i64>,
    pub(super) source: Option<Cow<'a, str>>,
    /// Whether it is new; `None` if that was not looked up.
    pub(super) created: Option<bool>,
    pub(super) mail: Mail,
}

/// What is to be done about the mail that asks a receiver to confirm.
#[derive(Default)]
pub(super) enum Mail {
    #[default]
    Nothing,
    /// To send it, and then to write the source that says so.
    Send(Unmarked),
    /// To say that it never left, if the note of that was taken.
    Late,
    /// To say that it never left.
    Never,
}

/// A receiver whose mail left.
#[derive(Clone, Serialize)]
pub(super) struct Unmarked {
    email: String,
    /// With a date it would not be created active, were it deleted meanwhile.
    registered: i64,
    source: String,
}

/// What a receiver is to become.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Inactive until it confirms; a known one stays as it is.
    Asked,
    /// Active; whether one that unsubscribed becomes so too.
    Active { even_unsubscribed: bool },
    /// Unsubscribed.
    Off,
}

/// Decides by the fields, and by what is known of the group's receivers.
pub(super) fn decide<'r>(
    fields: &UpsertReceiver,
    receiver: &'r Receiver,
    members: &Members,
) -> State<'r> {
    let goal = match (fields.activation, receiver.consent) {
        (Activation::Keep, _) => {
            return State { source: receiver.source.as_deref().map(Cow::from), ..State::default() };
        }
        (Activation::Active, _) => Goal::Active { even_unsubscribed: true },
        (Activation::Consent, Some(Consent::Given)) => Goal::Active { even_unsubscribed: false },
        (Activation::Consent, Some(Consent::Withdrawn)) => Goal::Off,
        (Activation::DoubleOptIn, _) | (Activation::Consent, _) => Goal::Asked,
    };
    let now = members.now().secs();
    let asks = fields.form_id.is_some() && goal == Goal::Asked;
    match members.get(receiver.who()) {
        Some(member) => known(goal, asks, receiver, member, now),
        None => new(goal, asks, receiver, now),
    }
}

fn new<'r>(goal: Goal, asks: bool, receiver: &'r Receiver, now: i64) -> State<'r> {
    let source = receiver.source.as_deref().unwrap_or(SOURCE);
    State {
        registered: Some(now),
        // 0 is inactive until it is confirmed.
        activated: Some(if matches!(goal, Goal::Active { .. }) { now } else { 0 }),
        deactivated: (goal == Goal::Off).then_some(now),
        source: Some(if asks { known::pending(source).into() } else { source.into() }),
        created: Some(true),
        mail: if asks { unmarked(receiver, now, source) } else { Mail::Nothing },
    }
}

fn known<'r>(
    goal: Goal,
    asks: bool,
    receiver: &'r Receiver,
    member: &Member,
    now: i64,
) -> State<'r> {
    let mut state = State { created: Some(false), ..State::default() };
    let bare = || member.bare_source().unwrap_or_default();
    match goal {
        // An active one keeps its time: another would be a change, over and over.
        Goal::Active { even_unsubscribed } => {
            if !member.is_active() && (even_unsubscribed || !member.is_unsubscribed()) {
                state.activated = Some(now);
                state.deactivated = Some(0);
            }
        }
        Goal::Off => {
            if !member.is_unsubscribed() {
                state.deactivated = Some(now);
            }
        }
        Goal::Asked => {
            match member.mail(now) {
                Found::Answered => state.source = Some(bare().to_owned().into()),
                Found::Due if asks => state.mail = unmarked(receiver, member.registered, bare()),
                Found::Late if asks => {
                    state.source = Some(known::never(bare()).into());
                    state.mail = Mail::Late;
                }
                Found::Never if asks => state.mail = Mail::Never,
                _ => {}
            }
            return state;
        }
    }
    state.source = member.bare_source().map(|it| Cow::from(it.to_owned()));
    state
}

fn unmarked(receiver: &Receiver, registered: i64, source: &str) -> Mail {
    let email = receiver.address().to_owned();
    Mail::Send(Unmarked { email, registered, source: source.to_owned() })
}
