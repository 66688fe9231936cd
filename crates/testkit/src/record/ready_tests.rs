//! Recording of a sandbox that is made ready, is asked with credentials in the query, and gives
//! addresses.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use connector::prelude::*;

use super::{Origin, Unrecorded, record_from};
use crate::http::{Answer, Answers, Asked, Server};

/// Gives an address below its own, and takes what is written there; it is ready once it was told so.
#[derive(Default)]
struct Files {
    /// Where it stands itself, whoever asks.
    own: Mutex<String>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Answers for Files {
    async fn answer(&self, asked: Asked) -> Answer {
        let mut all = self.asked.lock().unwrap();
        let ready = all.iter().any(|it| it.starts_with("PUT /ready"));
        all.push(format!("{} {}", asked.method, asked.target));
        let url = format!("{}/files/1?signature=real-signature", self.own.lock().unwrap());
        let body = match asked.path() {
            "/address" if ready => json!({ "url": url }).to_string(),
            "/address" => json!({ "error": "not ready" }).to_string(),
            _ => String::new(),
        };
        Answer::Given { status: 200, headers: vec![], body: body.into_bytes(), cut: false }
    }
}

/// Writes a file in two stages.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {}

#[derive(Deserialize, Serialize, JsonSchema)]
struct File {
    text: String,
}

#[async_trait]
impl Action for Write {
    type Input = File;

    fn idempotent(&self) -> bool {
        true
    }

    async fn run(&self, api: &Api, batch: &Batch<File>) -> Result<Outcomes> {
        #[derive(Deserialize)]
        struct Given {
            url: String,
        }
        let mut outcomes = batch.outcomes();
        for (index, item) in batch.items.iter().enumerate() {
            let key = api.account().values().get("apiKey");
            let asked = api.get(["address"]).unsigned().query("api_key", key);
            let Given { url } = asked.send().await?.json()?;
            let request = api.to_given(Method::PUT, &url)?;
            let request = request.bytes("text/plain", item.input.text.clone().into_bytes());
            request.send().await?;
            outcomes.set(index, Outcome::done(json!({ "at": url.rsplit('/').next() })));
        }
        Ok(outcomes)
    }
}

fn connector() -> Connector {
    Connector::new("files", "https://files.test", Auth::api_key("X-Api-Key"))
        .gives_addresses_at(&["files.test"])
        .action::<Write>("write", "data")
}

fn folder(name: &str, stories: &[(&str, Value)]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("towpath-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, story) in stories {
        std::fs::write(folder.join(name), story.to_string()).unwrap();
    }
    folder
}

async fn recorded(folder: &Path, ready: bool, chosen: &[&str]) -> Result<Arc<Files>, Unrecorded> {
    let files = Arc::new(Files::default());
    let server = Server::start(files.clone()).await.unwrap();
    *files.own.lock().unwrap() = server.origin();
    let account = [("apiKey".to_owned(), "real-api-key".to_owned())].into();
    let origin = Origin { base_url: server.origin(), account };
    record_from(&connector(), folder, (&origin, ready), chosen).await?;
    Ok(files)
}

#[tokio::test]
async fn a_sandbox_is_made_ready_and_its_addresses_and_credentials_have_stand_ins() {
    let system = json!({ "account": { "apiKey": "made-up-key" } });
    let story = json!({
        "about": "A file goes to the address that the system gives.",
        "action": "write",
        "before": [{ "method": "PUT", "path": "/ready", "query": { "by": "story" } }],
        "batch": [{ "key": "1", "input": { "text": "a line" } }],
    });
    let folder = folder("ready", &[("system.json", system), ("write.json", story.clone())]);
    let files = recorded(&folder, true, &[]).await.unwrap();
    let asked = files.asked.lock().unwrap().clone();
    let expected = [
        "PUT /ready?by=story",
        "GET /address?api_key=real-api-key",
        "PUT /files/1?signature=real-signature",
    ];
    assert_eq!(asked, expected);
    let text = std::fs::read_to_string(folder.join("write.json")).unwrap();
    assert!(!text.contains("real-api-key") && !text.contains("real-signature"), "{text}");
    let read: Value = serde_json::from_str(&text).unwrap();
    let [address, written] = read["exchanges"].as_array().unwrap().as_slice() else {
        panic!("what made it ready is no part of the story: {text}")
    };
    assert_eq!(address["request"]["query"], json!({ "api_key": "made-up-key" }));
    let url = "{origin}/files/1?signature=not-a-real-secret";
    assert_eq!(address["response"]["body"], json!({ "url": url }));
    assert_eq!(
        (&written["request"]["path"], &written["request"]["text"]),
        (&json!("/files/1"), &json!("a line"))
    );
    assert_eq!(read["before"], story["before"]);
    // Another system is not made ready: what needs it is left as it is.
    let files = recorded(&folder, false, &[]).await.unwrap();
    assert_eq!(files.asked.lock().unwrap().len(), 0);
    let refused = recorded(&folder, false, &["write"]).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("from a sandbox alone"), "{refused}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn what_is_written_by_hand_says_why() {
    for (by_hand, problem) in [
        (json!(true), "expected a string"),
        (json!(" "), "`byHand` says why"),
        (json!("the vendor's own sample"), ""),
    ] {
        let story = json!({
            "about": "A file.", "action": "write", "byHand": by_hand,
            "batch": [{ "key": "1", "input": { "text": "a line" } }],
        });
        let folder = folder("by-hand", &[("write.json", story.clone())]);
        let said = recorded(&folder, true, &[]).await.map(drop).map_err(|it| it.to_string());
        match said {
            Ok(()) => {
                let kept = std::fs::read_to_string(folder.join("write.json")).unwrap();
                assert_eq!((kept, problem), (story.to_string(), ""));
            }
            Err(said) => assert!(said.contains(problem), "{said}"),
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
