//! The codes by which actions refuse messages: CleverTap's own numbers, and those of ours for what it
//! has no number for.

use connector::Rejection;

/// Those of `uploadProfiles`, in the order of the page. The numbers are those of the vendor's list
/// of errors of an upload that concern profiles.
pub(crate) const PROFILES: &[Rejection] = &[
    NO_IDENTITY,
    SEVERAL_IDENTITIES,
    Rejection::new("514", "the gender is not taken", "give `Gender` as `M` or `F`"),
    Rejection::new("515", "the e-mail address is not valid", CORRECT),
    BAD_PHONE,
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
    BAD_TIME,
    Rejection::new("526", "the `objectId` is not valid", "take one that CleverTap gave"),
    MISCELLANEOUS,
    BAD_KEY,
    BAD_VALUE,
    BAD_DATE,
    TOO_MANY,
    NO_INCREMENTS,
    OTHER,
    REFUSED,
    BAD_REQUEST,
];

/// Those of `uploadEvents`: the numbers that concern events.
pub(crate) const EVENTS: &[Rejection] = &[
    NO_IDENTITY,
    SEVERAL_IDENTITIES,
    NO_NAME,
    Rejection::new("512", "the event is not built as one", "give `evtData` as an object"),
    RESTRICTED,
    TOO_MANY_OF_EVENT,
    Rejection::new("523", "there is no identity", "give one in `customMapping`"),
    Rejection::new("524", "it is not known as an event", "leave `type` out of `customMapping`"),
    BAD_TIME,
    Rejection::new("526", "the `objectId` is not valid", "take one that CleverTap gave"),
    Rejection::new(
        "528",
        "the dashboard discards this event",
        "let it through in CleverTap's settings, then replay the dead letter",
    ),
    MISCELLANEOUS,
    BAD_KEY,
    BAD_VALUE,
    BAD_DATE,
    OTHER,
    REFUSED,
    BAD_REQUEST,
];

/// Those of `deleteProfiles`.
pub(crate) const DELETE: &[Rejection] = &[NO_ID, SEVERAL_IDS, RECREATED, BAD_TOKEN, BAD_REQUEST];

/// Those of `uploadDeviceTokens`: the numbers that concern tokens.
pub(crate) const TOKENS: &[Rejection] = &[
    NO_DEVICE,
    Rejection::new("531", "the data of the token are not valid", "see what the reason names"),
    NO_TOKEN,
    NO_TYPE,
    Rejection::new(
        "534",
        "the type is none, or not that of the device",
        "give what CleverTap takes: `chrome`, `fcm`, `gcm`, `apns`, `wns` or `mpns`",
    ),
    Rejection::new(
        "535",
        "the data of the token are not valid: `keys` belong to `chrome` alone",
        "leave them out",
    ),
    OTHER,
    REFUSED,
    BAD_REQUEST,
];

/// Those of `subscribe`.
pub(crate) const SUBSCRIBE: &[Rejection] =
    &[NO_VALUE, BAD_PHONE, NO_STATUS, OTHER, REFUSED, BAD_REQUEST];

/// Those of `disassociatePhone`.
pub(crate) const DISASSOCIATE: &[Rejection] = &[NO_VALUE, BAD_PHONE, OTHER, REFUSED, BAD_REQUEST];

/// Those of `demergeProfiles`.
pub(crate) const DEMERGE: &[Rejection] = &[NO_ID, BAD_REQUEST];

/// Those of `sendToUsers`.
pub(crate) const SEND: &[Rejection] = &[NO_ID, SEVERAL_IDS, NO_CONTENT, BAD_REQUEST];

/// Those of `createCampaign`.
pub(crate) const CREATE: &[Rejection] = &[CAMPAIGN_NAME, TARGET, BAD_REQUEST];

/// Those of `stopCampaign`.
pub(crate) const STOP: &[Rejection] = &[NO_CAMPAIGN, BAD_REQUEST];

/// Those of `triggerCampaign`.
pub(crate) const TRIGGER: &[Rejection] =
    &[NO_ID, SEVERAL_IDS, CAMPAIGN_NAME, BAD_PROPERTY, BAD_REQUEST];

/// Those of `uploadCatalog`.
pub(crate) const CATALOG: &[Rejection] =
    &[EMPTY_NAME, NO_ROWS, BAD_ROW, TOO_LARGE, DUPLICATE, BAD_TOKEN, ADDRESS_ENDED, FILE_REFUSED];

/// Those of `uploadCustomList`.
pub(crate) const CUSTOM_LIST: &[Rejection] = CATALOG;

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

pub(crate) const BAD_PHONE: Rejection = Rejection::new(
    "516",
    "the phone number is not valid, in our eyes (it was not sent then) or in CleverTap's",
    "give it with `+` and the country's code, digits alone",
);

pub(crate) const BAD_TIME: Rejection = Rejection::new(
    "525",
    "`ts` is not in epoch seconds",
    "leave `ts` out, or give seconds: `$floor($toMillis(data.at) / 1000)`",
);

pub(crate) const NO_NAME: Rejection =
    Rejection::new("509", "the event has no name", "give `evtName` in `customMapping`");

pub(crate) const RESTRICTED: Rejection = Rejection::new(
    "513",
    "the name is one of CleverTap's own events, such as `App Launched`",
    "choose another name",
);

pub(crate) const TOO_MANY_OF_EVENT: Rejection = Rejection::new(
    "522",
    "the event has too many properties, or a purchase too many items",
    "give at most 256 of them",
);

pub(crate) const TOO_MANY: Rejection = Rejection::new(
    "tooManyProperties",
    "the profile has more than 256 properties of its own; nothing was sent",
    "leave some out in `customMapping`",
);

pub(crate) const BAD_KEY: Rejection = Rejection::new(
    "badKey",
    "a name is empty, has more than 120 characters, or one that CleverTap forbids in names; nothing \
     was sent",
    "name it otherwise in `customMapping`",
);

pub(crate) const BAD_VALUE: Rejection = Rejection::new(
    "badValue",
    "a value is longer than 512 characters; nothing was sent",
    "cut it in `customMapping`: `$substring(data.notes, 0, 512)`",
);

pub(crate) const BAD_DATE: Rejection = Rejection::new(
    "badDate",
    "a date is not `$D_` and epoch seconds; nothing was sent",
    "make one in `customMapping`: `\"$D_\" & $string($floor($toMillis(data.at) / 1000))`",
);

pub(crate) const NO_INCREMENTS: Rejection = Rejection::new(
    "noIncrements",
    "a property has an operator that counts, and the step does not allow that; nothing was sent",
    "`increments: true` allows it: each message is then sent once, and one without an answer is in \
     doubt",
);

pub(crate) const MISCELLANEOUS: Rejection =
    Rejection::new("555", "something else, which the reason names", "correct what it names");

pub(crate) const OTHER: Rejection =
    Rejection::new("<number>", "another code of CleverTap's", "its words are in the reason");

pub(crate) const NO_ROWS: Rejection = Rejection::new(
    "noRows",
    "there are no rows; nothing was sent",
    "give `rows` in `customMapping`, or filter such messages out with `when`",
);

pub(crate) const BAD_ROW: Rejection = Rejection::new(
    "badRow",
    "a row lacks what it needs, or has what no cell can be; nothing was sent",
    "the reason names the row; correct it in `customMapping`",
);

pub(crate) const TOO_LARGE: Rejection = Rejection::new(
    "tooLarge",
    "the file would have more than 16 MiB; nothing was sent",
    "make several messages of it",
);

pub(crate) const DUPLICATE: Rejection = Rejection::new(
    "duplicateName",
    "there was one of this name before CleverTap was told of this one; nothing was changed",
    "give it another name, or replay it with `replace: true`",
);

pub(crate) const ADDRESS_ENDED: Rejection = Rejection::new(
    "addressEnded",
    "each of four addresses that CleverTap gave ended before the file was there",
    "let the flow run more than once a day, or by `towpath serve`; then replay it",
);

pub(crate) const FILE_REFUSED: Rejection = Rejection::new(
    "http<status>",
    "CleverTap refuses the request by this HTTP status, or the address that it gave the file",
    "the reason has the words: correct what they name, or replay it later",
);

pub(crate) const NO_CONTENT: Rejection = Rejection::new(
    "noContent",
    "the message says nothing; nothing was sent",
    "give `content` as a field, or in `customMapping`",
);

pub(crate) const CAMPAIGN_NAME: Rejection =
    Rejection::new("noName", "there is no `name`; nothing was sent", "give it in `customMapping`");

pub(crate) const EMPTY_NAME: Rejection = Rejection::new(
    CAMPAIGN_NAME.code,
    "the message's own `name` is empty; nothing was sent",
    "give one in `customMapping`, or leave it out: the field `name` is taken then",
);

pub(crate) const TARGET: Rejection = Rejection::new(
    "target",
    "there is neither `where` nor `segment`, or both; nothing was sent",
    "say by exactly one of them who gets the campaign",
);

pub(crate) const NO_CAMPAIGN: Rejection = Rejection::new(
    "noCampaign",
    "there is no id of a campaign; nothing was sent",
    "give it in `customMapping`, such as `$steps.create.id`",
);

pub(crate) const BAD_PROPERTY: Rejection = Rejection::new(
    "badProperty",
    "a property of a business event is no text; nothing was sent",
    "make a text of it in `customMapping`: `$string(data.amount)`",
);

pub(crate) const NO_DEVICE: Rejection = Rejection::new(
    "530",
    "there is no `objectId`, or CleverTap does not take it",
    "take one that CleverTap gave: a token belongs to a device, not to a person",
);

pub(crate) const NO_TOKEN: Rejection =
    Rejection::new("532", "the token's `id` is missing", "give it in `tokenData`");

pub(crate) const NO_TYPE: Rejection =
    Rejection::new("533", "the token's `type` is missing", "give it in `tokenData`");

pub(crate) const NO_VALUE: Rejection = Rejection::new(
    "noValue",
    "the mapping gave no address and no number; nothing was sent",
    "filter such messages out with `when`, or give it in `customMapping`",
);

pub(crate) const NO_STATUS: Rejection = Rejection::new(
    "noStatus",
    "neither the step nor the contact's consent says what is to be; nothing was sent",
    "give `status` as a field, or filter such messages out with `when`",
);

pub(crate) const NO_ID: Rejection = Rejection::new(
    "noIdentity",
    "the mapping gave no id of a person; nothing was sent",
    "filter such messages out with `when`, or give one in `customMapping`",
);

pub(crate) const SEVERAL_IDS: Rejection = Rejection::new(
    "severalIdentities",
    "the mapping gave more than one id; nothing was sent",
    "leave all but one out of `customMapping`",
);

pub(crate) const RECREATED: Rejection = Rejection::new(
    "recreated",
    "with `recreated: refuse`: the profile was deleted, and one with the same id created since",
    "find out what sends the person's data and stop it, then replay: that deletes the new one",
);

pub(crate) const BAD_TOKEN: Rejection = Rejection::new(
    "badToken",
    "what was kept while the message waited cannot be read",
    "look in CleverTap what became of it, then drop or replay the dead letter",
);

pub(crate) const BAD_REQUEST: Rejection = Rejection::new(
    "http<status>",
    "CleverTap refuses the request by this HTTP status, or inside a 200: then it is 400",
    "its words are in the reason; correct what they name",
);

pub(crate) const REFUSED: Rejection = Rejection::new(
    "refused",
    "CleverTap refuses the record and gives no code",
    "its words, if there are any, are in the reason",
);
