//! A receiver as the triggers will find it once it was written.

use connector::prelude::*;
use serde_json::Map;

use super::Receiver;

/// The receiver with what was written of it, as the API gives it from then on; `value` is what the
/// action gave. An attribute that neither group nor account has was left out.
pub(crate) fn written(receiver: &Receiver, value: &Value) -> Option<Value> {
    if receiver.delete {
        return None;
    }
    let left_out = value.get("leftOut").and_then(Value::as_array);
    let is_left_out =
        |name: &str| left_out.into_iter().flatten().any(|left_out| left_out.as_str() == Some(name));
    let kept = |values: &Map<String, Value>| -> Map<String, Value> {
        let kept = values.iter().filter(|(name, _)| !is_left_out(name));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let attributes = kept(&receiver.attributes);
    let mut account = attributes.clone();
    account.extend(kept(&receiver.global_attributes));
    let stays = |tag: &&str| !receiver.remove_tags.iter().any(|gone| gone.takes(tag));
    let tags: Vec<&str> = receiver.tags.iter().map(|tag| tag.text()).filter(stays).collect();
    Some(json!({
        "id": value.get("id"),
        "email": receiver.address(),
        "group_id": value.get("groupId"),
        "activated": value.get("activated"),
        "deactivated": value.get("deactivated"),
        "attributes": attributes,
        "global_attributes": account,
        "tags": tags,
    }))
}
