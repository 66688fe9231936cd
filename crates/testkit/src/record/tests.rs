//! Recording of a system whose every answer is full of what must not be written.

use std::collections::BTreeMap;
use std::sync::Arc;

use connector::prelude::*;

use super::{Origin, outdated, record_from};
use crate::http::{Answer, Answers, Asked, Server};

const SECRET: &str = "real-client-secret";

/// What must not be in the files.
#[rustfmt::skip]
const REAL: &[&str] = &[
    SECRET, "real-client-id", "issued-token-4711", "renewing-token-4712", "cmVhbC1jbGllbnQ",
    "erika.muster@mail.invalid", "Erika", "Muster", "+49 170 1234567", "00491701234567",
    "198.51.100.23", "fe80::1ff:fe23:4567:890a", "Ahornweg", "26122", "1971-08-12", "allergic",
    "a customer since", "52.5200", "4915112345678", "secret-of-hers", "pages.invalid/erika",
    "third@mail.invalid", "erika%40", "fourth%40mail", "fifth@", "sixth@", "4711-opens", "7654321",
    "203.0.113.77", "2222222", "1980-02-29", "1981-03-30", "0bc83cb571cd1c50ba6f3e8a78ef1346",
    "9f86d081884c7d659a2feaa0c55ad015", "4915187654321", "sixty-one", "muster-gmbh",
];

/// Where `keep` keeps the words.
const LINKS: &[&str] = &[
    "/v1/people?cursor=fourth%40mail.invalid&access_token=4711-opens",
    "https://files.invalid/fifth@mail.invalid/photo.png",
    "mailto:sixth@mail.invalid, +49 151 7654321 or 0151/2222222, from 203.0.113.77:443",
];

struct System;

#[async_trait]
impl Answers for System {
    async fn answer(&self, asked: Asked) -> Answer {
        let body = if asked.path().ends_with("/token") {
            json!({ "access_token": "issued-token-4711", "refresh_token": "renewing-token-4712",
                "token_type": "bearer", "expires_in": 3600 })
        } else if asked.query().contains_key("cursor") {
            json!({ "people": [person("12")], "next": null, "said": "erika.muster@mail.invalid asked" })
        } else {
            json!({ "people": [person("11")], "links": LINKS, "next": "after erika.muster@mail.invalid",
                "said": "allow third@mail.invalid from 198.51.100.23, +49 170 1234567 too" })
        };
        let headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("set-cookie".to_owned(), "session=secret-of-hers".to_owned()),
        ];
        Answer::Given { status: 200, headers, body: body.to_string().into_bytes(), cut: false }
    }
}

fn person(id: &str) -> Value {
    json!({
        "id": id, "email": "erika.muster@mail.invalid", "firstName": "Erika", "Nachname": "Muster",
        "phone": "+49 170 1234567", "mobile": 4_915_112_345_678_u64, "whatsapp": "00491701234567",
        "last_ip": "198.51.100.23", "ip6": "fe80::1ff:fe23:4567:890a", "street": "Ahornweg 3",
        "zip": "26122", "birthday": "1971-08-12", "position": { "lat": "52.5200", "lon": 13.405 },
        "attributes": { "note": "allergic to nuts", "size": 42, "vip": true, "seit": "1980-02-29",
            "tag": "1981-03-30 00:00:00", "seen": "2026-11-19 07:30:00" },
        "hash_id": "0bc83cb571cd1c50ba6f3e8a78ef1346", "private_key": "sixty-one", "key":
        "9f86d081884c7d659a2feaa0c55ad015", "reachedBy": 4_915_187_654_321_u64, "msisdn": 2_222_222,
        "seen": 1_763_700_000, "seenMillis": 1_763_700_000_000_u64,
        "free": ["a customer since long", { "erika.muster@mail.invalid": "Erika" }],
        "password": "secret-of-hers", "photo": "https://pages.invalid/erika.png",
        "updated": "2026-11-20T08:00:00Z", "visits": 7,
    })
}

/// Emits people.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct People {}

#[async_trait]
impl PollingTrigger for People {
    type Cursor = String;
    const CHANGES: Changes = Changes::Content;

    async fn poll(&self, api: &Api, scan: &Scan<String>) -> Result<Page<String>> {
        #[derive(Deserialize)]
        struct Listed {
            people: Vec<Value>,
            next: Option<String>,
        }
        let request = api.get(["people"]).query_if("cursor", scan.cursor.as_ref());
        let listed: Listed = request.send().await?.json()?;
        let record = |it: &Value| Record::new(it["id"].as_str().unwrap_or_default(), None, it);
        Ok(Page {
            records: listed.people.iter().map(record).collect::<Result<_>>()?,
            next: listed.next,
        })
    }
}

fn connector() -> Connector {
    Connector::new("crm", "https://crm.test/v1", Auth::client_credentials("/token"))
        .polling::<People>("people", "{ \"firstName\": data.firstName }")
}

#[tokio::test]
async fn nothing_of_a_person_and_no_secret_is_written_and_the_story_is_accepted() {
    let server = Server::start(Arc::new(System)).await.unwrap();
    let folder = std::env::temp_dir().join(format!("towpath-record-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, value: Value| std::fs::write(folder.join(name), value.to_string());
    let account = json!({ "clientId": "made-up-id", "clientSecret": "made-up-secret" });
    write(
        "system.json",
        json!({ "basePath": "/v1", "account": account, "keep": ["said", "links", "token_type"] }),
    )
    .unwrap();
    write("all.json", json!({ "about": "Everybody.", "trigger": "people" })).unwrap();
    let account = [("clientId", "real-client-id"), ("clientSecret", SECRET)];
    let account = account.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let origin = Origin {
        base_url: format!("{}/muster-gmbh/v1", server.origin()),
        account: BTreeMap::from(account),
    };
    let mut texts = vec![];
    for _ in 0..2 {
        record_from(&connector(), &folder, (&origin, true), &[]).await.unwrap();
        texts.push(std::fs::read_to_string(folder.join("all.json")).unwrap());
    }
    assert_eq!(texts.first(), texts.last());
    let text = texts.remove(0);
    let file = folder.join("all.json");
    for (kept, old) in [(text.clone(), vec![]), (format!("{text}\n"), vec![file.clone()])] {
        std::fs::write(&file, kept).unwrap();
        let origin = Origin { base_url: origin.base_url.clone(), account: origin.account.clone() };
        assert_eq!(outdated(connector(), &folder, origin).await.unwrap(), old);
    }
    let left: Vec<_> = REAL.iter().filter(|real| text.contains(**real)).collect();
    assert!(left.is_empty(), "{left:?} are in {text}");
    // The same person is the same in both records, and ids, times and counts are as they were.
    assert_eq!(text.matches("\"email\": \"person1@example.com\"").count(), 2, "{text}");
    for kept in [
        "\"id\": \"11\"",
        "2026-11-20T08:00:00Z",
        "\"visits\": 7",
        "\"vip\": true",
        "\"seen\": 1763700000,",
        "1763700000000",
        "2026-11-19 07:30:00",
        "https://files.invalid/person",
    ] {
        assert!(text.contains(kept), "{kept} is not in {text}");
    }
    let accepted = std::thread::spawn({
        let folder = folder.clone();
        move || crate::accept(connector(), folder).map(drop)
    });
    accepted.join().unwrap().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}
