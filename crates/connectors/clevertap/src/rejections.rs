//! The codes by which uploads refuse messages: CleverTap's own numbers, and three of ours.

use connector::Rejection;

/// Those of `uploadProfiles`, in the order of the page. The numbers are those of the vendor's list
/// of errors of an upload that concern profiles.
pub(crate) const PROFILES: &[Rejection] = &[
    NO_IDENTITY,
    SEVERAL_IDENTITIES,
    Rejection::new("514", "the gender is not taken", "give `Gender` as `M` or `F`"),
    Rejection::new("515", "the e-mail address is not valid", CORRECT),
    Rejection::new(
        "516",
        "the phone number is not valid",
        "give `Phone` with `+` and the country's code",
    ),
    Rejection::new("517", "the employment is not taken", "give `Employed` as `Y` or `N`"),
    Rejection::new(
        "518",
        "the education is not taken",
        "give `Education` as `School`, `College` or `Graduate`",
    ),
    Rejection::new("519", "the marital status is not taken", "give `Married` as `Y` or `N`"),
    Rejection::new("520", "the age is not taken", CORRECT),
    Rejection::new("523", "there is no identity", "give one in `customMapping`"),
    Rejection::new("524", "it is not known as a profile", "leave `type` out of `customMapping`"),
    Rejection::new("525", "`ts` is not in epoch seconds", "leave `ts` out, or give seconds"),
    Rejection::new("526", "the `objectId` is not valid", "take one that CleverTap gave"),
    Rejection::new("555", "something else, which the reason names", "correct what it names"),
    Rejection::new("<number>", "another code of CleverTap's", "its words are in the reason"),
    REFUSED,
];

/// Those of `uploadEvents`: the numbers that concern events.
pub(crate) const EVENTS: &[Rejection] = &[
    NO_IDENTITY,
    SEVERAL_IDENTITIES,
    Rejection::new("509", "the event has no name", "give `evtName` in `customMapping`"),
    Rejection::new("512", "the event is not built as one", "give `evtData` as an object"),
    Rejection::new(
        "513",
        "the name is one of CleverTap's own events, such as `App Launched`",
        "choose another name",
    ),
    Rejection::new("522", "the event has too many properties", "give at most 256"),
    Rejection::new("523", "there is no identity", "give one in `customMapping`"),
    Rejection::new("524", "it is not known as an event", "leave `type` out of `customMapping`"),
    Rejection::new("525", "`ts` is not in epoch seconds", "leave `ts` out, or give seconds"),
    Rejection::new("526", "the `objectId` is not valid", "take one that CleverTap gave"),
    Rejection::new(
        "528",
        "the dashboard discards this event",
        "let it through in CleverTap's settings, then replay the dead letter",
    ),
    Rejection::new("555", "something else, which the reason names", "correct what it names"),
    Rejection::new("<number>", "another code of CleverTap's", "its words are in the reason"),
    REFUSED,
];

const CORRECT: &str = "correct it where the record comes from; its next change is sent";

pub(crate) const NO_IDENTITY: Rejection = Rejection::new(
    "noIdentity",
    "the mapping gave none of `identity`, `FBID`, `GPID` and `objectId`; nothing was sent",
    "filter such messages out with `when`, or give one in `customMapping`",
);

pub(crate) const SEVERAL_IDENTITIES: Rejection = Rejection::new(
    "severalIdentities",
    "the mapping gave more than one of them; nothing was sent",
    "leave all but one out of `customMapping`",
);

pub(crate) const REFUSED: Rejection = Rejection::new(
    "refused",
    "CleverTap refuses the record and gives no code",
    "its words, if there are any, are in the reason",
);
