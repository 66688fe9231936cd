//! Compiles an expression and makes a schema once, however many flows have it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use mapping::{Engine, Error, Mapping};
use schemars::Schema;
use serde_json::Value;

/// So many expressions of an engine are remembered: the connectors' default mappings, and those
/// that flows which are checked one after another have in common.
const REMEMBERED: usize = 256;

/// Compiled lately, by engine and source. The same source always gives the same mapping, so
/// nobody can tell that it is shared.
static COMPILED: LazyLock<Mutex<HashMap<Engine, HashMap<String, Mapping>>>> =
    LazyLock::new(Mutex::default);

/// Compiles `source`, or gives its first error; compiled mappings are shared.
pub(crate) fn compile(engine: Engine, source: &str) -> Result<Mapping, Error> {
    let compiled = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(mapping) = compiled().get(&engine).and_then(|of_engine| of_engine.get(source)) {
        return Ok(mapping.clone());
    }
    let mapping = Mapping::compile_with(engine, source)?;
    let mut compiled = compiled();
    let of_engine = compiled.entry(engine).or_default();
    if of_engine.len() >= REMEMBERED {
        // What is still needed soon comes back at the price of one compilation.
        of_engine.clear();
    }
    of_engine.insert(source.to_owned(), mapping.clone());
    Ok(mapping)
}

/// The schemas of connectors, by the functions that make them; there are few, and they never
/// change.
static SCHEMAS: LazyLock<Mutex<HashMap<usize, Arc<Value>>>> = LazyLock::new(Mutex::default);

/// The schema that a connector declares.
pub(crate) fn schema(declared: fn() -> Schema) -> Arc<Value> {
    let mut schemas = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
    // Two functions at one address would make the same schema.
    let known = schemas.entry(declared as usize);
    known.or_insert_with(|| Arc::new(declared().to_value())).clone()
}
