//! Reads the answer to an order that is known by no more than `true`.

use connector::prelude::*;

/// The answer as it is: `true`, `false`, or what was made. An object without anything in it, or with an
/// error in any words, does not say that anything was done.
pub(crate) fn taken(answer: &Response) -> Result<Value> {
    let said: Value = answer.json()?;
    if let Value::Object(members) = &said {
        let fails = ["error", "errors"].into_iter().any(|name| members.contains_key(name));
        let status = members.get("status").and_then(Value::as_str).unwrap_or_default();
        if members.is_empty() || fails || ["error", "fail"].iter().any(|it| status.starts_with(it))
        {
            return Err(answer.nonsense("with something that does not say that it was done"));
        }
    }
    Ok(said)
}
