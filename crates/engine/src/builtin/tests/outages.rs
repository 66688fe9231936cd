//! What connectors say of outages: told with one in which there was nothing but 5xx for long.

use connector::{Answer, Limit};

use super::*;

fn away() -> Report {
    let place = Place {
        flow: "shop".to_owned(),
        step: Some("order".to_owned()),
        account: "crm".to_owned(),
    };
    let reason = "answered 503 of ada@example.com".to_owned();
    Report::failed(Error::Unavailable { place, reason, after: None })
}

impl Process {
    /// A run fails, since its one request was answered so, or not at all.
    async fn failed(&mut self, status: Option<u16>) {
        let one = const { std::num::NonZeroUsize::new(1).unwrap() };
        let limit = Limit { class: "default", concurrency: one, per_second: None };
        let permit = self.engine.limiter("crm").acquire("", limit).await.unwrap();
        let reason = "of ada@example.com".to_owned();
        permit.answered(&Answer::Failed { status, after: None, reason });
        self.engine.keep_accounts().await;
        self.ran("shop", &away()).await;
    }
}

/// Of each failed run, a minute after another, what its request was answered with: when it was told,
/// in minutes since the first, and whether with what the connector says.
async fn told_of(after: u64, answers: &[Option<u16>]) -> Vec<(usize, bool)> {
    let desk = Desk::new();
    let mut process = desk.process(alert(Of::Failing, after));
    let mut told = vec![];
    for (minute, status) in answers.iter().enumerate() {
        let advised = |it: &Value| match &it["advice"] {
            Value::Null => false,
            advice => advice == "ring up its makers",
        };
        process.failed(*status).await;
        told.extend(process.told().await.iter().map(|it| (minute, advised(it))));
        // What was answered outlives the process, as what was told does.
        process = desk.process(alert(Of::Failing, after));
        process.engine.outage("crm", desk.clock.now()).await.unwrap();
        desk.pass(1);
    }
    // It is about outages: neither what is well again nor another failure has it.
    process.ran("shop", &Report::default()).await;
    process.ran("shop", &refused()).await;
    desk.pass(60);
    let others = process.told().await;
    assert!(others.iter().all(|it| it.get("advice").is_none()), "{others:?}");
    told
}

#[tokio::test]
async fn what_a_connector_says_of_5xx_is_told_once_there_was_nothing_else_for_long() {
    let (fails, silent) = (Some(503), None);
    assert_eq!(told_of(10, &[fails; 10]).await, []);
    assert_eq!(told_of(10, &[fails; 30]).await, [(10, true)]);
    assert_eq!(told_of(10, &[silent; 30]).await, [(10, false)]);
    // One that is not answered begins it anew: who was told meanwhile is told that once more.
    let mut mixed = [fails; 30];
    mixed[6] = silent;
    assert_eq!(told_of(10, &mixed).await, [(10, false), (17, true)]);
    mixed[16] = silent;
    assert_eq!(told_of(10, &mixed).await, [(10, false), (27, true)]);
    // It takes as long as the connector says, whenever a flow wants to be told.
    assert_eq!(told_of(2, &[fails; 30]).await, [(2, false), (10, true)]);
    assert_eq!(told_of(25, &[fails; 30]).await, [(25, true)]);
    let mut first = [fails; 12];
    first[0] = silent;
    // Where that is all but over, it is waited for.
    assert_eq!(told_of(10, &first).await, [(11, true)]);
}

/// Nothing is said of what nobody asked: it lasts from answer to answer.
#[tokio::test]
async fn an_outage_lasts_from_answer_to_answer_and_not_across_a_long_gap() {
    let desk = Desk::new();
    let mut process = desk.process(alert(Of::Failing, 10));
    process.failed(Some(503)).await;
    desk.pass(11);
    let told = process.told().await;
    assert_eq!((told.len(), &told[0]["advice"]), (1, &Value::Null), "{told:?}");
    process.failed(Some(503)).await;
    let told = process.told().await;
    assert_eq!((told.len(), &told[0]["advice"]), (1, &json!("ring up its makers")), "{told:?}");
    desk.pass(3 * 60);
    process.failed(Some(503)).await;
    let lasted = process.engine.outage("crm", Timestamp::default()).await.unwrap();
    assert_eq!(lasted.map(|it| it.answered), Some(Duration::ZERO));
    // Nor is one shown that the process before knew of, where nobody asked for long.
    desk.pass(3 * 60);
    let process = desk.process(alert(Of::Failing, 10));
    assert_eq!(process.engine.outage("crm", Timestamp::default()).await.unwrap(), None);
    process.engine.keep_accounts().await;
    assert_eq!(desk.store.vault_names("outage/").await.unwrap(), [""; 0]);
}
