//! What a vendor may do wrong: nothing is lost, nothing is swallowed, and the error says where.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use sandbox::{Action, Fault, Options, Vendor};
use towpath_tests::World;

const FLOW: &str = include_str!("../../flows/newsletter-to-clevertap.yaml");

async fn first_error(world: &World) -> String {
    let flow = world.flow(FLOW);
    let report = world.run(&flow).await;
    report.errors.first().map(ToString::to_string).unwrap_or_default()
}

fn list(action: Action) -> Fault {
    Fault::new(Vendor::CleverReach, "/receivers", action)
}

fn upload(action: Action) -> Fault {
    Fault::new(Vendor::CleverTap, "/1/upload", action)
}

/// Fails while the fault lasts, naming the place; then a run moves everything.
async fn fails_then_recovers(fault: Fault, says: &str) {
    let world = World::with(60).await;
    world.sandbox.fault(fault.forever());
    let error = first_error(&world).await;
    assert!(error.contains(says), "{says}: {error}");
    assert!(error.contains("flow \"newsletter-to-clevertap\""), "{error}");
    assert!(error.contains("account \""), "{error}");
    let flow = world.flow(FLOW);
    assert!(world.snapshot(&flow.name).await.is_none(), "{says}: something was committed");
    world.sandbox.clear_faults();
    assert_eq!(world.run(&flow).await.counts.delivered, 60, "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_makes_no_sense_is_an_outage_not_an_empty_page() {
    let envelope = r#"{"error":{"code":500,"message":"Database away"}}"#;
    for (fault, says) in [
        (list(Action::body("<html>Wartung</html>")), "not JSON"),
        (list(Action::body(envelope)), "Database away"),
        (list(Action::body(r#"{"data":[]}"#)), "another shape"),
        (list(Action::body(r#"[{"id":7,"email":"a@example.com"},{"email":"no id"}]"#)), "id"),
        (list(Action::CutBody { after_bytes: 900 }), "no answer"),
        (list(Action::CloseConnection { process: false }), "no answer"),
        (list(Action::status(500)), "500"),
    ] {
        fails_then_recovers(fault, says).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_not_understood_is_not_done() {
    for (fault, says) in [
        (upload(Action::body("ok")), "not JSON"),
        (upload(Action::body(r#"{"status":"success"}"#)), "tried 5 times"),
        (upload(Action::body(r#"{"status":"success","processed":"all"}"#)), "tried 5 times"),
        (upload(Action::CutBody { after_bytes: 10 }), "no answer"),
        (upload(Action::status(503)), "503"),
    ] {
        fails_then_recovers(fault, says).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_too_large_to_read_says_how_to_ask_for_less() {
    let fault = list(Action::HugeBody { bytes: 65 * 1024 * 1024 });
    fails_then_recovers(fault, "more than 64 MiB; ask for less").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_trouble_is_waited_out() {
    let world = World::with(60).await;
    world.sandbox.fault(list(Action::TooManyRequests { retry_after: Some(7) }).times(2));
    world.sandbox.fault(list(Action::status(502)).after(2));
    world.sandbox.fault(upload(Action::CloseConnection { process: true }).times(2));
    world.sandbox.fault(upload(Action::TooManyRequests { retry_after: None }));
    let flow = world.flow(FLOW);
    let report = world.run(&flow).await;
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!((report.counts.delivered, world.sandbox.profiles().len()), (60, 60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_is_renewed_once_and_kept() {
    let world = World::with(60).await;
    let flow = world.flow(FLOW);
    world.sandbox.fault(list(Action::ExpireTokens));
    assert!(world.run(&flow).await.errors.is_empty());
    assert_eq!(world.sandbox.stats().cleverreach.tokens_issued, 2);
    // The next process finds the token in the vault.
    assert!(world.run(&flow).await.errors.is_empty());
    assert_eq!(world.sandbox.stats().cleverreach.tokens_issued, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_fail_the_run_at_once_and_are_not_shown() {
    let mut world = World::with(5).await;
    world.client_secret = "not-the-client-secret".to_owned();
    let error = first_error(&world).await;
    assert!(error.contains("account \"newsletter\"") && error.contains("credentials"), "{error}");
    assert!(!error.contains("not-the-client-secret"), "{error}");
    assert_eq!(world.sandbox.stats().cleverreach.total_requests(), 1);

    let mut world = World::with(5).await;
    world.passcode = "NOT-THE-PASS".to_owned();
    let error = first_error(&world).await;
    assert!(error.contains("step \"profiles\", account \"engagement\""), "{error}");
    assert!(error.contains("credentials") && !error.contains("NOT-THE-PASS"), "{error}");
    assert_eq!(world.sandbox.stats().clevertap.total_requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_that_refuses_in_its_own_way_is_understood() {
    let token = |action| Fault::new(Vendor::CleverReach, "/oauth/token.php", action).forever();
    for (action, says) in [
        (Action::status(401), "credentials"),
        (Action::status(404), "404"),
        (Action::body(r#"{"access_token":98765432109876,"token_type":"bearer"}"#), "tried 5 times"),
    ] {
        let world = World::with(5).await;
        world.sandbox.fault(token(action));
        let error = first_error(&world).await;
        assert!(error.contains(says) && !error.contains("98765432109876"), "{error}");
        let asked = world.sandbox.stats().cleverreach.total_requests();
        assert_eq!(asked, if says.contains("tried") { 5 } else { 1 }, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_not_there_or_not_alone_fails_at_once_and_names_what_is() {
    let world = World::with(5).await;
    for (name, says) in [("Newsleter", "Newsletter"), ("Everybody", "Customers")] {
        let flow =
            world.flow(&FLOW.replace("groupName: Newsletter", &format!("groupName: {name}")));
        let report = world.run(&flow).await;
        let error = report.errors.first().unwrap();
        assert!(error.needs_change(), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains(says), "{error}");
    }
    let twice = ["Newsletter", "newsletter "].into_iter().enumerate();
    let groups = twice.map(|(id, name)| sandbox::GroupSeed::new(id as u64 + 1, name, 1)).collect();
    let world = World::of(Options { receivers: 5, groups, ..Options::default() }).await;
    let error = first_error(&world).await;
    assert!(error.contains('1') && error.contains('2') && error.contains("groupId"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clevertap_refuses_is_kept_with_its_reason_and_the_rest_arrives() {
    let world = World::with(30).await;
    let broken = sandbox::Receiver {
        email: "no address at all".to_owned(),
        ..world.sandbox.receivers().remove(4)
    };
    world.sandbox.put_receiver(&broken);
    let flow = world.flow(FLOW);
    let report = world.run(&flow).await;
    assert_eq!((report.counts.delivered, report.counts.dead_lettered), (29, 1));
    let letter = world.store.dead_letters(None).await.unwrap().remove(0);
    let letter = world.store.dead_letter(&letter.id).await.unwrap().unwrap();
    assert_eq!((letter.code.as_str(), letter.record_key.as_str()), ("515", broken.id.as_str()));
    assert!(letter.reason.contains("Email is not valid"), "{}", letter.reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_that_fails_is_an_error_at_its_place_never_the_unmapped_message() {
    let world = World::with(30).await;
    let broken = FLOW.replace("\"Newsletter\": true", "\"Newsletter\": $number(data.lastName)");
    let flow = world.flow(broken.split("\ntests:").next().unwrap());
    let report = world.run(&flow).await;
    let error = report.errors.first().unwrap().to_string();
    assert!(error.contains("maxRejects") && error.contains("21 of 30"), "{error}");
    assert!(error.contains("D3030"), "{error}");
    assert_eq!((world.uploaded(), world.store.dead_letters(None).await.unwrap().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_comes_twice_is_asked_for_again() {
    let world = World::with(60).await;
    let text = FLOW.replace("groupName: Newsletter\n", "groupName: Newsletter\n    pageSize: 20\n");
    world.sandbox.fault(list(Action::RepeatPage).after(1));
    let flow = world.flow(&text);
    let report = world.run(&flow).await;
    // To go on would lose the page that should have come.
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!((report.counts.delivered, world.uploaded()), (60, 60));
}
