//! The codes by which `upsertReceiver` refuses messages.

use connector::Rejection;

/// All of them, in the order of the page.
pub(crate) const ALL: &[Rejection] = &[
    NO_EMAIL,
    INVALID_ADDRESS,
    DUPLICATE_ADDRESS,
    BAD_ATTRIBUTE,
    NO_GROUP,
    SEVERAL_GROUPS,
    CONFIRMATION,
    REFUSED,
];

pub(crate) const NO_EMAIL: Rejection = Rejection::new(
    "noEmail",
    "the mapping gave no e-mail address; nothing was sent",
    "filter such messages out with `when`, or give the address in `customMapping`",
);

pub(crate) const INVALID_ADDRESS: Rejection = Rejection::new(
    "invalidAddress",
    "the address is none, in our eyes (nothing was sent then) or in CleverReach's",
    "correct it where the record comes from; its next change is sent",
);

pub(crate) const DUPLICATE_ADDRESS: Rejection = Rejection::new(
    "duplicateAddress",
    "CleverReach says that it has the address already",
    "look the address up in the group; CleverReach's own words are in the reason",
);

pub(crate) const BAD_ATTRIBUTE: Rejection = Rejection::new(
    "badAttribute",
    "a value is neither text nor a number (true and false are neither); nothing was sent",
    "make a text of it in `customMapping`: `$string(data.vip)`",
);

pub(crate) const NO_GROUP: Rejection = Rejection::new(
    "noGroup",
    "with `groupFromCategories`: the contact's categories name no group",
    "create the group in CleverReach, or correct the categories; the reason names the groups that \
     there are",
);

pub(crate) const SEVERAL_GROUPS: Rejection = Rejection::new(
    "severalGroups",
    "with `groupFromCategories`: the contact's categories name more than one group",
    "`firstMatch: true` takes the first one",
);

pub(crate) const CONFIRMATION: Rejection = Rejection::new(
    "confirmation",
    "the receiver is there, inactive, but its confirmation mail was refused (`doidata` may be \
     needed), or did not leave within the hour",
    "delete it in CleverReach and send the message again, or activate it there if it has agreed",
);

pub(crate) const REFUSED: Rejection = Rejection::new(
    "refused",
    "CleverReach refuses the receiver for another reason, which it gives",
    "correct what the reason names",
);
