//! What a sandbox starts with: data, ports, credentials and the switches for uncertain facts.

use serde::{Deserialize, Serialize};

use crate::clevertap::{AttributionSwitches, OrderSwitches, ReadingSwitches, UploadSwitches};

/// What a [`Sandbox`](crate::Sandbox) starts with.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many receivers are seeded into CleverReach.
    pub receivers: usize,
    /// What the seeded data depend on; the same seed and `now` give the same receivers.
    pub seed: u64,
    /// Epoch seconds at which the clock stands still; without it the clock runs with the system's.
    pub now: Option<i64>,
    /// The loopback port of CleverReach; 0 takes any free one.
    pub cleverreach_port: u16,
    /// The loopback port of CleverTap; 0 takes any free one.
    pub clevertap_port: u16,
    /// The groups and who is in them.
    pub groups: Vec<GroupSeed>,
    /// The ids of the forms that CleverReach sends confirmation mails for.
    pub forms: Vec<u64>,
    /// Whether answers carry the `Date` header.
    pub date_header: bool,
    /// Whether CleverTap keeps what it received; without it `delivered`, `refused`, `profiles`
    /// and `profile.json` are empty and only the counters tell.
    pub keep_delivered: bool,
    /// Lifetime of an access token in seconds (CleverReach documents a year).
    pub expires_in: i64,
    /// How the vendors behave where their documentation is silent or contradicts itself.
    pub switches: Switches,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            receivers: 1_000,
            seed: 1,
            now: None,
            cleverreach_port: 0,
            clevertap_port: 0,
            groups: vec![
                GroupSeed::new(1_123_825, "Newsletter", 1),
                GroupSeed::new(1_123_826, "Customers", 50),
            ],
            forms: vec![135_790],
            date_header: true,
            keep_delivered: true,
            expires_in: 31_536_000,
            switches: Switches::default(),
        }
    }
}

/// One group of CleverReach to begin with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupSeed {
    /// The group's number; the API shows it as a string.
    pub id: u64,
    /// The name that people see.
    pub name: String,
    /// Every how many-th seeded receiver is a member: 1 all, 50 one in fifty, 0 none.
    pub every: usize,
}

impl GroupSeed {
    /// Describes a group.
    pub fn new(id: u64, name: impl Into<String>, every: usize) -> Self {
        Self { id, name: name.into(), every }
    }
}

/// The only credentials that the sandbox accepts. They are fake, so they are printable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The OAuth2 client id of CleverReach.
    pub client_id: String,
    /// The OAuth2 client secret of CleverReach.
    pub client_secret: String,
    /// The project id of CleverTap.
    pub project_id: String,
    /// The passcode of CleverTap.
    pub passcode: String,
    /// The token of CleverTap's project, for attribution.
    pub token: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            client_id: "sandbox-client".to_owned(),
            client_secret: "not-a-secret".to_owned(),
            project_id: "TES-T00-000Z".to_owned(),
            passcode: "ABC-DEF-GHIJ".to_owned(),
            token: "not-aca-060".to_owned(),
        }
    }
}

/// How the vendors behave where their documentation is silent or sources disagree.
///
/// The defaults are what is most likely; a client should work with every setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Switches {
    /// CleverReach shows ids as integers instead of strings (clients exist for either).
    pub integer_ids: bool,
    /// CleverReach answers a single receiver as a list of one (its PHP SDK unwraps both).
    pub receiver_as_list: bool,
    /// What CleverReach does with a page size above its maximum of 5,000.
    pub oversized_page: OversizedPage,
    /// What CleverReach answers for a list without receivers.
    pub empty_group: EmptyGroup,
    /// Fields that the filter of CleverReach refuses with 400. Seen in use are only `email`,
    /// `tags`, `deactivated` and `bounced`; the others are taken to work.
    pub refused_filter_fields: Vec<String>,
    /// The filter of CleverReach over all groups gives each receiver once, by one of its groups;
    /// otherwise once for each group.
    pub filter_per_receiver: bool,
    /// The filter of CleverReach refuses an empty list of groups; otherwise it means all of them.
    pub filter_needs_groups: bool,
    /// CleverReach lists the groups of a receiver as ids; otherwise as groups.
    pub memberships_as_ids: bool,
    /// How often CleverReach calls a webhook that was not taken, the first time included; it is not
    /// known whether it tries again.
    pub hook_attempts: u32,
    /// The calls of CleverReach's webhooks get lost on the way.
    pub hooks_lost: bool,
    /// A client-credentials grant of CleverReach also gives a refresh token.
    pub client_credentials_refresh: bool,
    /// The token answer of CleverReach shows its scopes as an array instead of a string.
    pub scope_as_array: bool,
    /// CleverReach ends tokens at `DELETE /v3/oauth/token.json`, as its plug-in for WooCommerce asks;
    /// otherwise at `DELETE /oauth/token`, as its PHP SDK does.
    pub revoke_under_v3: bool,
    /// Whoever is asked to log in at CleverReach does not agree.
    pub login_refused: bool,
    /// What the scope of CleverReach's tokens does not cover: `groups`, `receivers`, `forms`. How the
    /// vendor refuses it is not documented; here it is 403.
    pub missing_scopes: Vec<String>,
    /// How many receivers one upsert of CleverReach may hold; more is answered 413. Clients name
    /// 1,000, the vendor's own start with 250.
    pub upsert_rows: usize,
    /// How many bytes one upsert of CleverReach may hold; more is answered 413.
    pub upsert_bytes: usize,
    /// What an upsert of CleverReach does with an attribute that is not defined.
    pub unknown_attribute: UnknownAttribute,
    /// Whether the tags of an upsert are added to those of a known receiver or replace them.
    pub upsert_tags: UpsertTags,
    /// An upsert of CleverReach keeps the source of a known receiver; otherwise it takes the new
    /// one.
    pub upsert_keeps_source: bool,
    /// Addresses that an upsert of CleverReach refuses as invalid, beside those that are.
    pub refused_addresses: Vec<String>,
    /// What CleverReach makes of an address that is on the blacklist when it is upserted.
    pub blacklisted: BlacklistedUpsert,
    /// CleverReach answers 409 to an address that is blacklisted again; otherwise it takes it, with
    /// its new comment.
    pub blacklist_conflict: bool,
    /// CleverReach does not activate a receiver that unsubscribed, though it says that it did.
    pub unsubscribed_stay: bool,
    /// What CleverReach answers where several receivers are deleted at once.
    pub delete_answer: DeleteAnswer,
    /// CleverReach answers `false` instead of 404 where what is to be deleted is not there.
    pub missing_is_false: bool,
    /// What CleverReach makes of an item of an order that a receiver has already.
    pub order_again: OrderAgain,
    /// How many attributes CleverReach takes, those of a group and of the account together; more are
    /// refused with 400 (a client counts 40; how they are refused is not documented).
    pub most_attributes: usize,
    /// CleverReach refuses to send a confirmation mail without all of `doidata`.
    pub doidata_needed: bool,
    /// What CleverTap answers to wrong credentials; sources name 400, 401 and 403.
    pub bad_credentials: BadCredentials,
    /// The project is of another region of CleverTap: all that is asked here is answered as wrong
    /// credentials are, which is the way in which the vendor says it.
    pub wrong_region: bool,
    /// CleverTap knows who asks, and does not take uploads of this passcode.
    pub uploads_refused: bool,
    /// CleverTap answers the credential check 404, as if it were for registered partners alone.
    pub connect_missing: bool,
    /// The partners that CleverTap's credential check takes; empty takes every name. It has a failure
    /// for others, of which only the form is known.
    pub connect_partners: Vec<String>,
    /// What CleverTap answers for a profile that it does not know.
    pub missing_profile: MissingProfile,
    /// CleverTap refuses profiles and events that break its documented limits: of the count of
    /// properties and of an event's items, of the length of names and values, of forbidden characters.
    /// Its code for too many of an event is 522; for the others it is not documented.
    pub strict_properties: bool,
    /// The events that the dashboard of CleverTap discards: uploads are refused by 528.
    pub discarded_events: Vec<String>,
    /// How many seconds after it was asked for a deletion is carried out by CleverTap; documented
    /// are 24 hours at most.
    pub deletion_seconds: i64,
    /// A profile that CleverTap deleted is created anew at once, by a device that goes on sending.
    pub recreate_deleted: bool,
    /// Such a profile has the devices of the old one: an app keeps its id.
    pub recreated_keeps_devices: bool,
    /// CleverTap answers lists that it took whole with a bare `success`; otherwise it counts them as
    /// it does uploads.
    pub bare_lists: bool,
    /// CleverTap takes the name of a catalogue once, unless it replaces the one before, as it does with
    /// those of lists; of catalogues it is not documented.
    pub catalogs_once: bool,
    /// How CleverTap's uploads behave.
    pub uploads: UploadSwitches,
    /// What CleverTap answers to orders.
    pub orders: OrderSwitches,
    /// How CleverTap's attribution behaves.
    pub attribution: AttributionSwitches,
    /// How CleverTap's exports, counts and reports behave.
    pub reading: ReadingSwitches,
    /// How many records an upload to CleverTap may hold (documentation of 2017 says 100).
    pub upload_batch: usize,
    /// How many uploads to CleverTap may be under way at once (documentation of 2017 says 3).
    pub upload_concurrency: usize,
    /// How many requests to any other API of CleverTap may be under way at once.
    pub other_concurrency: usize,
    /// CleverTap counts what is under way at a path by its methods: opening an export and its pages are
    /// two APIs. The documentation counts by API, of which exporting events is one.
    pub limits_by_method: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            integer_ids: false,
            receiver_as_list: false,
            oversized_page: OversizedPage::Clamp,
            empty_group: EmptyGroup::EmptyList,
            refused_filter_fields: Vec::new(),
            filter_per_receiver: false,
            filter_needs_groups: false,
            memberships_as_ids: false,
            hook_attempts: 1,
            hooks_lost: false,
            client_credentials_refresh: false,
            scope_as_array: false,
            revoke_under_v3: false,
            login_refused: false,
            missing_scopes: Vec::new(),
            upsert_rows: 1_000,
            upsert_bytes: 8 * 1024 * 1024,
            unknown_attribute: UnknownAttribute::Ignore,
            upsert_tags: UpsertTags::Add,
            upsert_keeps_source: false,
            refused_addresses: Vec::new(),
            blacklisted: BlacklistedUpsert::Taken,
            blacklist_conflict: false,
            unsubscribed_stay: false,
            delete_answer: DeleteAnswer::True,
            missing_is_false: false,
            order_again: OrderAgain::Added,
            most_attributes: 40,
            doidata_needed: false,
            bad_credentials: BadCredentials::Unauthorized,
            wrong_region: false,
            uploads_refused: false,
            connect_missing: false,
            connect_partners: Vec::new(),
            missing_profile: MissingProfile::Fail,
            strict_properties: true,
            discarded_events: Vec::new(),
            deletion_seconds: 60,
            recreate_deleted: false,
            recreated_keeps_devices: false,
            bare_lists: false,
            catalogs_once: false,
            uploads: UploadSwitches::default(),
            orders: OrderSwitches::default(),
            attribution: AttributionSwitches::default(),
            reading: ReadingSwitches::default(),
            upload_batch: 1_000,
            upload_concurrency: 15,
            other_concurrency: 3,
            limits_by_method: false,
        }
    }
}

/// What happens to a page size above the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OversizedPage {
    /// It counts as the maximum.
    Clamp,
    /// It is refused with 400.
    Refuse,
}

/// What a list without receivers looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EmptyGroup {
    /// 200 and `[]`.
    EmptyList,
    /// 204 without a body.
    NoContent,
}

/// What becomes of an attribute that is not defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownAttribute {
    /// It is left out.
    Ignore,
    /// The whole call is refused with 400.
    Refuse,
}

/// What becomes of the tags that a known receiver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpsertTags {
    /// They stay.
    Add,
    /// They go, if there are others.
    Replace,
}

/// What becomes of an upsert of a blacklisted address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlacklistedUpsert {
    /// It is taken; it gets no mail.
    Taken,
    /// It is refused like an address that is none.
    Refused,
}

/// What a deletion of several receivers is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeleteAnswer {
    /// `true`.
    True,
    /// `true` or `false` of each, in the order of the question.
    List,
}

/// What becomes of an item of an order that is there already: the same order and product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderAgain {
    /// It is there twice.
    Added,
    /// The new one stands in its place.
    Replaced,
}

/// What wrong credentials are answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BadCredentials {
    /// 401 `Invalid Credentials`.
    Unauthorized,
    /// 400 `Failed to process request`.
    BadRequest,
    /// 403 `Forbidden`.
    Forbidden,
}

/// What a profile that does not exist is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MissingProfile {
    /// 200 with `status: fail`.
    Fail,
    /// The same without a code.
    FailWithoutCode,
    /// 404 with `status: fail`.
    NotFound,
    /// 200 with `status: success` and no record.
    EmptySuccess,
}
