//! Both triggers against the sandbox: which group, which receivers, which pages, which failures.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connector::prelude::*;
use connector::{ErasedTrigger, Services};
use sandbox::{
    Action, EmptyGroup, Fault, GroupSeed, Options, Receiver, Sandbox, Stamp, Touch, Vendor,
};

const NOW: i64 = 1_763_700_000;
const NEWSLETTER: &str = "1123825";
const STAMPS: [(&str, Stamp); 4] = [
    ("registered", Stamp::Registered),
    ("activated", Stamp::Activated),
    ("deactivated", Stamp::Deactivated),
    ("bounced", Stamp::Bounced),
];
const LIST: &str = "GET /v3/groups/{id}/receivers";
const FILTER: &str = "POST /v3/receivers/filter";

struct World {
    sandbox: Sandbox,
    api: Api,
}

impl World {
    async fn new(receivers: usize) -> Self {
        Self::with(Options { receivers, ..Options::default() }).await
    }

    async fn with(options: Options) -> Self {
        let sandbox = Sandbox::start(Options { now: Some(NOW), ..options }).await.unwrap();
        let api = api(&sandbox, &sandbox.credentials().client_secret);
        Self { sandbox, api }
    }

    fn fault(&self, path: &str, action: Action) {
        self.sandbox.fault(Fault::new(Vendor::CleverReach, path, action));
    }

    fn requests(&self, template: &str) -> u64 {
        self.sandbox.stats().cleverreach.requests_to(template)
    }

    async fn partitions(&self, fields: Value) -> Result<Vec<String>> {
        by_group(fields).partitions(&self.api).await
    }

    async fn page(&self, want: Want, cursor: Option<Value>) -> Result<Page<Value>> {
        let fields = json!({ "groupId": NEWSLETTER, "pageSize": 60 });
        let partition = Some(NEWSLETTER.to_owned());
        by_group(fields).poll(&self.api, &Scan { want, partition, cursor }).await
    }

    /// All pages of a scan, each with a page size of 60.
    async fn scan(&self, want: Want) -> Vec<Page<Value>> {
        let mut pages: Vec<Page<Value>> = vec![];
        loop {
            let cursor = pages.last().map(|page| page.next.clone().unwrap());
            pages.push(self.page(want, cursor).await.unwrap());
            if pages.last().unwrap().next.is_none() {
                return pages;
            }
        }
    }

    async fn first_error(&self, want: Want) -> Error {
        self.page(want, None).await.unwrap_err()
    }
}

fn api(sandbox: &Sandbox, secret: &str) -> Api {
    let values = BTreeMap::from([
        ("clientId".to_owned(), sandbox.credentials().client_id.clone()),
        ("clientSecret".to_owned(), secret.to_owned()),
    ]);
    let connector = towpath_cleverreach::connector();
    let account = connector.account("newsletter", Some(&sandbox.cleverreach_url()), values);
    Api::new(&connector, account.unwrap(), &BTreeMap::new(), Services::bare()).unwrap()
}

fn configure(name: &str, fields: Value) -> Result<Arc<dyn ErasedTrigger>, String> {
    (towpath_cleverreach::connector().find_trigger(name).unwrap().configure)(fields)
}

fn by_group(fields: Value) -> Arc<dyn ErasedTrigger> {
    configure("getReceiversByGroupIdPolling", fields).unwrap()
}

fn changed(since: i64) -> Want {
    Want::Changed { since: Timestamp::from_secs(since) }
}

fn keys(pages: &[Page<Value>]) -> BTreeSet<String> {
    pages.iter().flat_map(|page| &page.records).map(|record| record.key.clone()).collect()
}

fn sizes(pages: &[Page<Value>]) -> Vec<usize> {
    pages.iter().map(|page| page.records.len()).collect()
}

fn field(record: &Record, name: &str) -> Value {
    let data: Value = serde_json::from_str(record.data.get()).unwrap();
    data.get(name).unwrap().clone()
}

#[tokio::test]
async fn the_group_is_found_by_id_or_name() {
    let world = World::new(10).await;
    for fields in [
        json!({ "groupId": NEWSLETTER }),
        json!({ "groupId": 1_123_825 }),
        json!({ "groupName": "Newsletter" }),
        json!({ "groupName": " NEWSletter " }),
    ] {
        assert_eq!(world.partitions(fields).await.unwrap(), [NEWSLETTER]);
    }

    let problem = world.partitions(json!({ "groupName": "News" })).await.unwrap_err();
    let named = "CleverReach has no group called \"News\"; there are \"Newsletter\" (1123825), \
                 \"Customers\" (1123826)";
    assert_eq!(problem, Error::config(named));
    let problem = world.partitions(json!({ "groupId": "99" })).await.unwrap_err();
    assert!(matches!(&problem, Error::Config { reason } if reason.contains("id 99")), "{problem}");

    world.sandbox.add_group(GroupSeed::new(7, "newsletter", 0));
    let problem = world.partitions(json!({ "groupName": "Newsletter" })).await.unwrap_err();
    let Error::Config { reason } = problem else { panic!("{problem:?}") };
    assert!(reason.contains("2 groups") && reason.contains("(7)"), "{reason}");
}

#[tokio::test]
async fn a_group_in_a_list_of_one_is_that_group() {
    let world = World::new(1).await;
    world.fault("/groups.json/7", Action::body(r#"[{"id":7,"name":"Seven"}]"#));
    assert_eq!(world.partitions(json!({ "groupId": 7 })).await.unwrap(), ["7"]);
    world.fault("/groups.json/7", Action::body(r#"{"name":"no id"}"#));
    let problem = world.partitions(json!({ "groupId": 7 })).await.unwrap_err();
    assert!(matches!(problem, Error::Retry { .. }), "{problem:?}");
}

#[tokio::test]
async fn all_groups_are_partitions_where_each_makes_its_messages() {
    let world = World::new(100).await;
    let per_group = json!({ "messages": "perGroup" });
    let trigger = configure("getReceiversPolling", per_group).unwrap();
    assert_eq!(trigger.partitions(&world.api).await.unwrap(), [NEWSLETTER, "1123826"]);
    let scan = Scan { want: Want::All, partition: Some("1123826".to_owned()), cursor: None };
    let customers = trigger.poll(&world.api, &scan).await.unwrap();
    assert_eq!(customers.records.len(), 2);
    assert_eq!(customers.next, None);
    // Of the same receiver every group gives its own record.
    let group = field(customers.records.first().unwrap(), "group_id");
    assert_eq!(group, "1123826");
}

#[tokio::test]
async fn fields_are_checked() {
    let problem = |fields| configure("getReceiversByGroupIdPolling", fields).map(drop).unwrap_err();
    for (fields, expected) in [
        (json!({}), "`groupId` or `groupName` is needed"),
        (json!({ "groupName": " " }), "`groupName` is empty"),
        (json!({ "groupId": 1, "groupName": "x" }), "exclude each other"),
        (json!({ "groupId": [1] }), "a string or an integer"),
        (json!({ "groupId": 1, "pageSize": 5001 }), "1 to 5000 receivers a page"),
        (json!({ "groupId": 1, "pageSize": 0 }), "1 to 5000 receivers a page"),
        (
            json!({ "groupId": 1, "type": "bounced" }),
            "unknown variant `bounced`, expected one of `all`",
        ),
        (
            json!({ "groupId": 1, "detail": ["mails"] }),
            "expected one of `events`, `orders`, `tags`",
        ),
        (json!({ "groupId": 1, "from": "May" }), "a day such as 2026-01-31"),
        (json!({ "groupId": 1, "messages": "one" }), "expected `perReceiver` or `perGroup`"),
        (json!({ "group": 1 }), "unknown field `group`, expected one of `groupId`"),
        (
            json!({ "groupId": 1, "keyedBy": "email", "messages": "perReceiver" }),
            "`keyedBy: email` and `messages: perReceiver` exclude each other",
        ),
    ] {
        let problem = problem(fields);
        assert!(problem.contains(expected), "{problem}");
    }
    let told = configure("receiverEvents", json!({ "groupId": 1, "keyedBy": "email" }));
    let problem = told.map(drop).unwrap_err();
    assert!(problem.contains("CleverReach tells of receivers by their ids"), "{problem}");
}

#[tokio::test]
async fn an_address_can_be_the_key_of_lists_and_of_what_changed() {
    let world = World::new(60).await;
    let mut shouting = world.sandbox.receivers().remove(0);
    shouting.email = "Ada.Lovelace@Example.com".to_owned();
    world.sandbox.put_receiver(&shouting);
    world.sandbox.touch(&Touch::count(3).at(NOW + 5));
    let emails: BTreeMap<String, String> =
        world.sandbox.receivers().into_iter().map(|it| (it.id, it.email.to_lowercase())).collect();
    let trigger = by_group(json!({ "groupId": NEWSLETTER, "keyedBy": "email" }));
    for (want, count) in [(Want::All, 60), (changed(NOW + 5), 3)] {
        let scan = Scan { want, partition: Some(NEWSLETTER.to_owned()), cursor: None };
        let found = trigger.poll(&world.api, &scan).await.unwrap();
        assert_eq!(found.records.len(), count);
        for record in &found.records {
            assert_eq!(record.key, emails[field(record, "id").as_str().unwrap()]);
        }
    }
    let written = json!({ "id": "1", "email": " Ada.Lovelace@Example.com" });
    assert_eq!(trigger.key_of(&written).as_deref(), Some("ada.lovelace@example.com"));
    assert_eq!(by_group(json!({ "groupId": NEWSLETTER })).key_of(&written), None);
}

#[tokio::test]
async fn a_full_scan_reads_the_list_to_its_end() {
    let world = World::new(150).await;
    let pages = world.scan(Want::All).await;
    assert_eq!(sizes(&pages), [60, 60, 30]);
    assert_eq!(keys(&pages).len(), 150);
    assert_eq!(world.requests(LIST), 3);

    let records: Vec<_> = pages.iter().flat_map(|page| &page.records).collect();
    let registered = |r: &&Record| field(r, "registered").as_i64().unwrap();
    assert!(records.iter().map(registered).is_sorted_by(|a, b| a >= b));
    assert!(records.iter().any(|record| field(record, "tags") != json!([])));
    // Some never confirmed, unsubscribed or bounced: the highest of the four counts.
    for record in records {
        let stamps = STAMPS.map(|(name, _)| field(record, name).as_i64().unwrap());
        let newest = stamps.into_iter().max().map(Timestamp::from_secs);
        assert_eq!(record.version, newest);
    }
}

#[tokio::test]
async fn pages_that_are_full_to_the_last_end_with_an_empty_one() {
    let world = World::new(120).await;
    assert_eq!(sizes(&world.scan(Want::All).await), [60, 60, 0]);
}

#[tokio::test]
async fn what_changed_is_one_filter() {
    let world = World::new(300).await;
    let since = NOW + 100;
    let mut touched = BTreeSet::new();
    for (_, stamp) in STAMPS {
        touched.extend(world.sandbox.touch(&Touch::count(20).field(stamp).at(since)));
    }
    let pages = world.scan(changed(since)).await;
    assert_eq!(keys(&pages), touched);
    assert_eq!(world.requests(FILTER), 2);
    assert_eq!(world.requests(LIST), 0);
    assert!(
        pages
            .iter()
            .flat_map(|p| &p.records)
            .all(|r| r.version >= Some(Timestamp::from_secs(since)))
    );

    let nothing = world.scan(changed(since + 1)).await;
    assert_eq!(sizes(&nothing), [0]);
    assert_eq!(world.requests(FILTER), 3);
}

#[tokio::test]
async fn a_field_that_the_filter_refuses_gets_a_pass_of_its_own() {
    let world = World::new(400).await;
    let since = NOW + 100;
    let mut touched = BTreeSet::new();
    for (_, stamp) in STAMPS {
        // Over the border of a page of 60, all in the same second.
        touched.extend(world.sandbox.touch(&Touch::count(70).field(stamp).at(since)));
    }
    for subset in 0_u32..16 {
        let refused = STAMPS.iter().enumerate().filter(|(bit, _)| subset & (1 << bit) != 0);
        let refused: Vec<String> = refused.map(|(_, (name, _))| (*name).to_owned()).collect();
        let mut switches = world.sandbox.switches();
        switches.refused_filter_fields.clone_from(&refused);
        world.sandbox.set_switches(switches);
        world.sandbox.reset_stats();

        let pages = world.scan(changed(since)).await;
        let found = keys(&pages);
        assert!(found.is_superset(&touched), "{refused:?}");
        // A pass reads the page in which its field falls below `since`, and no page more.
        let lists = u64::try_from(refused.len()).unwrap() * 2;
        assert_eq!(world.requests(LIST), lists, "{refused:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_names_no_field_makes_all_of_them_passes() {
    let world = World::new(100).await;
    let touched = world.sandbox.touch(&Touch::count(3).field(Stamp::Bounced).at(NOW + 5));
    let refusal = r#"{"error":{"code":400,"message":"Bad Request"}}"#;
    world.fault("filter.json", Action::Body { status: 400, body: refusal.to_owned() });
    let pages = world.scan(changed(NOW + 5)).await;
    assert_eq!(world.requests(LIST), 4);
    assert!(keys(&pages).is_superset(&touched.into_iter().collect()));
    let second = json!({ "pass": 2, "fields": ["registered", "activated", "deactivated", "bounced"],
        "page": 0, "largest": 0, "began": null });
    assert_eq!(pages.first().unwrap().next, Some(second));

    // The same inside a 200; but what is not in the API's own words is no refusal of a field.
    world.fault("filter.json", Action::body(refusal));
    assert_eq!(world.scan(changed(NOW + 5)).await.len(), 4);
    let proxy = Action::Body { status: 400, body: "<html>bounced</html>".to_owned() };
    world.fault("filter.json", proxy);
    let error = world.first_error(changed(NOW + 5)).await;
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
}

#[tokio::test]
async fn a_filter_refused_in_the_middle_is_not_taken_for_its_end() {
    let world = World::new(100).await;
    world.sandbox.touch(&Touch::count(100).at(NOW + 5));
    let first = world.page(changed(NOW + 5), None).await.unwrap();
    let mut switches = world.sandbox.switches();
    switches.refused_filter_fields = vec!["bounced".to_owned()];
    world.sandbox.set_switches(switches);
    let error = world.page(changed(NOW + 5), first.next).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
}

#[tokio::test]
async fn ids_may_be_integers() {
    let mut options = Options { receivers: 70, ..Options::default() };
    options.switches.integer_ids = true;
    let world = World::with(options).await;
    assert_eq!(world.partitions(json!({ "groupName": "newsletter" })).await.unwrap(), [NEWSLETTER]);
    let pages = world.scan(Want::All).await;
    let record = pages.first().unwrap().records.first().unwrap().clone();
    assert_eq!(field(&record, "id").to_string(), record.key);
}

#[tokio::test]
async fn an_empty_group_is_empty_in_both_its_forms() {
    for empty_group in [EmptyGroup::EmptyList, EmptyGroup::NoContent] {
        let mut options = Options { receivers: 0, ..Options::default() };
        options.switches.empty_group = empty_group;
        let world = World::with(options).await;
        for want in [Want::All, changed(NOW)] {
            let page = world.page(want, None).await.unwrap();
            assert_eq!((page.records.len(), page.next), (0, None));
        }
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_never_an_empty_page() {
    let world = World::new(5).await;
    for body in [
        "",
        "null",
        "{}",
        "true",
        "<html>",
        r#"[{"id":"1""#,
        r#"{"data":[]}"#,
        r#"[{"email":"a@example.com"}]"#,
        r#"[{"id":"1","bounced":"yesterday"}]"#,
        r#"["1"]"#,
    ] {
        for (want, path) in [(Want::All, "/receivers?"), (changed(NOW), "filter.json")] {
            world.fault(path, Action::body(body));
            let error = world.first_error(want).await;
            assert!(matches!(error, Error::Retry { .. }), "{body}: {error:?}");
        }
    }
}

#[tokio::test]
async fn an_envelope_inside_a_200_is_what_it_says() {
    let world = World::new(5).await;
    let envelope = |code: u16, message: &str| {
        Action::body(json!({ "error": { "code": code, "message": message } }).to_string())
    };
    world.fault("/receivers?", envelope(404, "Not Found"));
    let error = world.first_error(Want::All).await;
    assert!(matches!(&error, Error::Config { reason } if reason.ends_with("404: Not Found")));
    world.fault("/receivers?", envelope(429, "Too Many Requests"));
    let error = world.first_error(Want::All).await;
    assert!(matches!(error, Error::Retry { .. }), "{error:?}");
    // The token is renewed, once.
    world.fault("/receivers?", envelope(401, "Unauthorized"));
    assert_eq!(world.page(Want::All, None).await.unwrap().records.len(), 5);
    assert_eq!(world.sandbox.stats().cleverreach.tokens_issued, 2);
}

#[tokio::test]
async fn an_outage_is_an_error_that_is_worth_another_try() {
    let world = World::new(5).await;
    for action in [
        Action::CutBody { after_bytes: 100 },
        Action::CloseConnection { process: true },
        Action::status(500),
        Action::TooManyRequests { retry_after: Some(7) },
    ] {
        for (want, path) in [(Want::All, "/receivers?"), (changed(0), "filter.json")] {
            world.fault(path, action.clone());
            let error = world.first_error(want).await;
            assert!(matches!(error, Error::Retry { .. }), "{action:?}: {error:?}");
        }
    }
    assert_eq!(world.page(changed(0), None).await.unwrap().records.len(), 5);
}

#[tokio::test]
async fn a_repeated_page_is_asked_for_again() {
    let world = World::new(150).await;
    let first = world.page(Want::All, None).await.unwrap();
    world.fault("page=1", Action::RepeatPage);
    let error = world.page(Want::All, first.next.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Retry { .. }), "{error:?}");
    let second = world.page(Want::All, first.next.clone()).await.unwrap();
    assert!(keys(&[first]).is_disjoint(&keys(&[second])));
}

#[tokio::test]
async fn a_whole_page_of_newcomers_in_front_is_no_repeated_page() {
    let world = World::new(150).await;
    let first = world.page(Want::All, None).await.unwrap();
    let some = world.sandbox.receivers().remove(0);
    for id in 9_000_000..9_000_060 {
        let email = format!("new{id}@example.com");
        let (id, registered) = (id.to_string(), NOW);
        world.sandbox.put_receiver(&Receiver { id, email, registered, ..some.clone() });
    }
    let second = world.page(Want::All, first.next.clone()).await.unwrap();
    assert_eq!(keys(std::slice::from_ref(&second)), keys(&[first]));
    let third = world.page(Want::All, second.next).await.unwrap();
    assert_eq!(third.records.len(), 60);
}

#[tokio::test]
async fn refused_credentials_are_said_to_be_refused() {
    let world = World::new(1).await;
    let api = api(&world.sandbox, "another-not-a-secret");
    let trigger = configure("getReceiversPolling", json!({})).unwrap();
    assert!(trigger.partitions(&api).await.unwrap().is_empty());
    let scan = Scan { want: Want::All, partition: None, cursor: None };
    let error = trigger.poll(&api, &scan).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(!error.to_string().contains("another-not-a-secret"), "{error}");
}

#[tokio::test]
async fn a_type_is_one_for_lists_and_for_what_changed() {
    let world = World::new(200).await;
    for (stamp, count) in [(Stamp::Deactivated, 20), (Stamp::Bounced, 10)] {
        world.sandbox.touch(&Touch::count(count).field(stamp).at(NOW + 5));
    }
    let receivers = world.sandbox.receivers();
    let is = |kind: &str, it: &Receiver| match kind {
        "active" => it.activated > 0 && it.deactivated == 0,
        "inactive" => it.activated == 0 || it.deactivated > 0,
        "bounce" => it.bounced > 0,
        _ => true,
    };
    for kind in ["all", "active", "inactive", "bounce"] {
        let fields = json!({ "groupId": NEWSLETTER, "type": kind });
        for want in [Want::All, changed(NOW + 5)] {
            let scan = Scan { want, partition: Some(NEWSLETTER.to_owned()), cursor: None };
            let found = by_group(fields.clone()).poll(&world.api, &scan).await.unwrap();
            let since = want.since().map_or(0, Timestamp::secs);
            let newest = |it: &&Receiver| it.deactivated.max(it.bounced).max(it.activated) >= since;
            let expected = receivers.iter().filter(|it| is(kind, it)).filter(newest);
            let expected: BTreeSet<_> = expected.map(|it| it.id.clone()).collect();
            assert!(!expected.is_empty());
            assert_eq!(keys(&[found]), expected, "{kind} {want:?}");
        }
    }
}

#[tokio::test]
async fn detail_is_the_same_for_lists_and_for_what_changed() {
    let world = World::new(60).await;
    world.sandbox.touch(&Touch::count(3).at(NOW + 5));
    for (detail, there) in [
        (json!(["tags"]), [true, false, false]),
        (json!([]), [false; 3]),
        (json!(["events", "orders", "tags"]), [true; 3]),
    ] {
        let fields = json!({ "groupId": NEWSLETTER, "detail": detail });
        for want in [Want::All, changed(NOW + 5)] {
            let scan = Scan { want, partition: Some(NEWSLETTER.to_owned()), cursor: None };
            let found = by_group(fields.clone()).poll(&world.api, &scan).await.unwrap();
            let data: Value = serde_json::from_str(found.records[0].data.get()).unwrap();
            let has = ["tags", "events", "orders"].map(|key| data.get(key).is_some());
            assert_eq!(has, there, "{detail} {want:?}");
        }
    }
}
