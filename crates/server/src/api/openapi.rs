//! The API document, OpenAPI 3.1, made of the table of routes.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::problem::Problem;
use crate::routes::{Access, Document, Route, Routes, get};
use crate::scope::Scope;
use crate::server::Server;

const ABOUT: &str = "What a running service of Towpath answers. Every request needs a token: \
`Authorization: Bearer TOKEN`; `towpath token create` makes one. Errors are problem details (RFC \
9457) with a `code` that stays the same. Lists come in pages: give the `next` of one as `after` of \
the next. A POST that is marked so may be repeated with the same `Idempotency-Key`: it is done once \
and answered as the first time, for a day, as long as the service runs, of the newest 10,000 keys.";

pub(super) fn routes() -> Routes {
    Routes::default().and(
        get("/api/v1/openapi.json", Access::Needs(Scope::Read), serve)
            .says("service", "openapi", "Gives this document.")
            .answers::<Map<String, Value>>(200, "OpenAPI 3.1."),
    )
}

async fn serve(State(server): State<Server>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], document(server.routes()).to_string())
}

/// The API document of these routes; pages and what is internal are not in it.
pub(crate) fn document(routes: &Routes) -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Problem>().to_value();
    let mut paths = Map::new();
    for route in routes.all() {
        let Some(document) = &route.document else { continue };
        let operation = operation(route, document, &problem, &mut schemas);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.as_str().to_lowercase(), operation);
        }
    }
    let schemas = schemas.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Towpath", "version": "1", "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "towpath_session",
                    "description": "The session of a browser that signed in. What changes something \
                                    then needs the header `X-CSRF-Token` too.",
                },
            },
        },
    })
}

fn operation(
    route: &Route,
    document: &Document,
    problem: &Value,
    schemas: &mut SchemaGenerator,
) -> Value {
    let mut operation = json!({
        "operationId": document.operation,
        "tags": [document.tag],
        "summary": document.summary,
    });
    let Some(fields) = operation.as_object_mut() else { return operation };
    match route.access {
        Access::Needs(scope) => {
            fields.insert("description".to_owned(), format!("Needs the scope `{scope}`.").into());
            fields.insert("x-towpath-scope".to_owned(), scope.name().into());
        }
        Access::Anyone | Access::Outside => {
            fields.insert("security".to_owned(), json!([]));
        }
    }
    let parameters = parameters(route, document, schemas);
    if !parameters.is_empty() {
        fields.insert("parameters".to_owned(), parameters.into());
    }
    if let Some((describe, required)) = document.body {
        let content = json!({ "application/json": { "schema": describe(schemas) } });
        let body = json!({ "required": required, "content": content });
        fields.insert("requestBody".to_owned(), body);
    }
    fields.insert("responses".to_owned(), answers(route, document, problem, schemas).into());
    operation
}

fn parameters(route: &Route, document: &Document, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let named = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "minLength": 1 },
        }))
    });
    let mut parameters: Vec<Value> = named.collect();
    if let Some(describe) = document.query {
        let schema = describe(schemas).to_value();
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, of) in schema.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            let mut of = of.clone();
            let words = of.as_object_mut().and_then(|of| of.remove("description"));
            parameters.push(json!({
                "name": name, "in": "query", "required": required.contains(&name.as_str()),
                "description": words.unwrap_or_default(), "schema": not_null(of),
            }));
        }
    }
    if document.idempotent {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "The request is done once under it, and answered as the first time.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        }));
    }
    parameters
}

/// A parameter is left out rather than null.
fn not_null(mut schema: Value) -> Value {
    let Some(fields) = schema.as_object_mut() else { return schema };
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(any)) = fields.get_mut("anyOf") {
        any.retain(|of| of.get("type").is_none_or(|kind| kind != "null"));
        if let [only] = &any[..] {
            return only.clone();
        }
    }
    schema
}

fn answers(
    route: &Route,
    document: &Document,
    problem: &Value,
    schemas: &mut SchemaGenerator,
) -> Map<String, Value> {
    let mut answers = Map::new();
    for (status, words, media, describe) in &document.answers {
        let mut answer = json!({ "description": words });
        if !media.is_empty() {
            let schema =
                describe.map_or_else(|| json!({ "type": "string" }), |it| it(schemas).to_value());
            answer["content"] = json!({ *media: { "schema": schema } });
        }
        answers.insert(status.to_string(), answer);
    }
    let refusal = |words: &str| {
        json!({
            "description": words,
            "content": { "application/problem+json": { "schema": problem } },
        })
    };
    let mut problems = vec![];
    if let Access::Needs(scope) = route.access {
        problems.push((400, "The request cannot be read.".to_owned()));
        problems.push((401, "There is no credential, or it is none.".to_owned()));
        problems.push((403, format!("The credential does not have the scope `{scope}`.")));
        problems.push((429, "Too many credentials from this address were refused.".to_owned()));
        problems.push((503, "The store does not answer, or it took too long.".to_owned()));
    }
    if document.body.is_some() {
        problems.push((413, "The body is too large.".to_owned()));
        problems.push((415, "The body is not JSON.".to_owned()));
        problems.push((422, "The body is JSON, and not what it should be.".to_owned()));
    }
    if document.idempotent {
        problems.push((409, "The first request with this key is under way.".to_owned()));
        problems.push((422, "The key was used for another request.".to_owned()));
    }
    problems.extend(document.problems.iter().map(|(status, words)| (*status, (*words).to_owned())));
    problems.sort_by_key(|(status, _)| *status);
    for of_status in problems.chunk_by(|a, b| a.0 == b.0) {
        let words: Vec<&str> = of_status.iter().map(|(_, words)| words.as_str()).collect();
        if let Some((status, _)) = of_status.first() {
            answers.insert(status.to_string(), refusal(&words.join(" Or: ")));
        }
    }
    answers
}
