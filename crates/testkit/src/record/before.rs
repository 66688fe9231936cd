//! Makes a sandbox ready for a story: the switches and data that the story says it needs.

use connector::Api;
use connector::prelude::Method;

use crate::story::Before;

/// Asks one after the other, signed as the account's requests are; the first that fails ends it.
pub(super) async fn ask<'b>(
    api: &Api,
    before: impl Iterator<Item = &'b Before>,
) -> Result<(), String> {
    for it in before {
        let failed = |problem: String| format!("before it, {} {}: {problem}", it.method, it.path);
        let method = Method::from_bytes(it.method.as_bytes());
        let method = method.map_err(|error| failed(error.to_string()))?;
        let mut request = api.at_origin(method, it.path.trim_start_matches('/').split('/'));
        for (name, value) in &it.query {
            request = request.query(name, value);
        }
        let request = match (&it.body, &it.text) {
            (Some(body), _) => request.json(body),
            (None, Some(text)) => request.bytes("text/plain", text.clone().into_bytes()),
            (None, None) => request,
        };
        request.send().await.map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}
