//! The codes by which actions refuse messages.

use connector::{Outcome, Rejection};

use crate::group::Id;
use crate::who::Who;

/// Those of `upsertReceiver`, in the order of the page.
pub(crate) const UPSERT: &[Rejection] = &[
    NO_EMAIL,
    INVALID_ADDRESS,
    DUPLICATE_ADDRESS,
    BAD_ATTRIBUTE,
    BAD_MODIFIER,
    NO_INCREMENTS,
    BAD_ORDER,
    NO_GROUP,
    SEVERAL_GROUPS,
    CONFIRMATION,
    NO_DELETES,
    NOT_TAKEN,
    REFUSED,
];

/// Those of `deleteReceiver`.
pub(crate) const DELETE: &[Rejection] = &[NO_EMAIL, INVALID_ADDRESS, REFUSED];

/// Those of `setReceiverStatus`.
pub(crate) const STATUS: &[Rejection] =
    &[NO_EMAIL, INVALID_ADDRESS, NO_STATUS, NO_RECEIVER, UNSUBSCRIBED, REFUSED];

/// Those of `addTags`.
pub(crate) const TAGS: &[Rejection] =
    &[NO_EMAIL, INVALID_ADDRESS, NO_TAGS, NO_RECEIVER, NOT_TAKEN, REFUSED];

/// Those of `removeTags`.
pub(crate) const UNTAGS: &[Rejection] = &[NO_EMAIL, INVALID_ADDRESS, NO_TAGS, NOT_TAKEN, REFUSED];

/// Those of `addOrders`.
pub(crate) const ORDERS: &[Rejection] =
    &[NO_EMAIL, INVALID_ADDRESS, BAD_ORDER, NO_RECEIVER, NOT_TAKEN, REFUSED];

/// Those of `blacklist`.
pub(crate) const BLACKLIST: &[Rejection] = &[NO_EMAIL, INVALID_ADDRESS, REFUSED];

/// Those of `ensureGroup`.
pub(crate) const GROUP: &[Rejection] = &[NO_NAME, SEVERAL_NAMED, REFUSED];

/// Those of `ensureAttributes`.
pub(crate) const ATTRIBUTES: &[Rejection] = &[BAD_NAME, MISSING, OTHER_TYPE, REFUSED];

pub(crate) const NO_EMAIL: Rejection = Rejection::new(
    "noEmail",
    "the mapping gave no e-mail address, nor, where one is taken, an id; nothing was sent",
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

pub(crate) const BAD_MODIFIER: Rejection = Rejection::new(
    "badModifier",
    "a modifier is neither `\"+1\"`, `\"-1\"`, a number nor null; nothing was sent",
    "values to write as they are go into `attributes` or `global_attributes`",
);

pub(crate) const NO_INCREMENTS: Rejection = Rejection::new(
    "noIncrements",
    "a modifier adds or takes away, and the step does not allow that; nothing was sent",
    "`increments: true` allows it: each message is then sent once, and one without an answer is in \
     doubt",
);

pub(crate) const BAD_ORDER: Rejection = Rejection::new(
    "badOrder",
    "there is no item of an order, or one lacks what it needs; nothing was sent",
    "give each item `order_id` and `product` in `customMapping`",
);

pub(crate) const NO_GROUP: Rejection = Rejection::new(
    "noGroup",
    "with `groupFromCategories`: the contact's categories name no group",
    "create the group in CleverReach or by `ensureGroup`, or correct the categories; the reason \
     names the groups that there are",
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

pub(crate) const NO_DELETES: Rejection = Rejection::new(
    "deletesNotAllowed",
    "the message asks for a deletion (`data.deleteRequested`), and the step takes none; nothing was \
     sent",
    "`deletes: true` takes them; `when: $not(data.deleteRequested)` filters them out",
);

pub(crate) const NOT_TAKEN: Rejection = Rejection::new(
    "notTaken",
    "CleverReach leaves the receiver out of its answer to a change of tags, orders or modifiers, \
     which means that it refuses it; it says no reason",
    "look the receiver up in CleverReach, then send the message again",
);

pub(crate) const NO_STATUS: Rejection = Rejection::new(
    "noStatus",
    "nothing says whether the receiver becomes active or inactive; nothing was sent",
    "give `status` in the fields or in `customMapping`, or filter with `when: data.consent = \
     \"withdrawn\"`",
);

pub(crate) const NO_RECEIVER: Rejection = Rejection::new(
    "noReceiver",
    "the group has no such receiver; nothing was sent",
    "`upsertReceiver` creates it; a step before this one, or another group, may be what is missing",
);

pub(crate) const UNSUBSCRIBED: Rejection = Rejection::new(
    "unsubscribed",
    "the receiver unsubscribed, so it is not activated; nothing was sent",
    "`resubscribe: true` activates such receivers too, if they said so themselves",
);

pub(crate) const NO_TAGS: Rejection = Rejection::new(
    "noTags",
    "there are no tags; nothing was sent",
    "give `tags` in the fields or in `customMapping`, or filter such messages out with `when`",
);

pub(crate) const NO_NAME: Rejection = Rejection::new(
    "noName",
    "nothing says what the group is called; nothing was sent",
    "give `groupName` in the fields, or `name` in `customMapping`",
);

pub(crate) const SEVERAL_NAMED: Rejection = Rejection::new(
    "severalGroups",
    "CleverReach has more than one group of that name",
    "rename all but one in CleverReach; the reason names them",
);

pub(crate) const BAD_NAME: Rejection = Rejection::new(
    "badName",
    "there are no attributes, or one has a name that CleverReach would change; nothing was sent",
    "give `attributes` in the fields or in `customMapping`, with names of small letters, digits and \
     `_`",
);

pub(crate) const MISSING: Rejection = Rejection::new(
    "missingAttributes",
    "attributes are missing; the reason names them",
    "`create: true` creates them; or do it in CleverReach",
);

pub(crate) const OTHER_TYPE: Rejection = Rejection::new(
    "otherType",
    "an attribute is there, and its type is another one",
    "correct `type`, or give the attribute another name",
);

pub(crate) const REFUSED: Rejection = Rejection::new(
    "refused",
    "CleverReach refuses it for another reason, which it gives",
    "correct what the reason names",
);

/// The refusal of a message without tags.
pub(crate) fn no_tags() -> Outcome {
    NO_TAGS.because("the message has no tags")
}

/// The refusal of a message about a receiver that is not in its group.
pub(crate) fn not_in(group: &Id, who: Who<'_>) -> Outcome {
    let (said, text) = (who.said(), who.text());
    NO_RECEIVER.because(format!("the group {} has no receiver with the {said} {text}", group.0))
}
