//! The table of routes: path, what it needs, and what the API document says of it.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};

use crate::scope::Scope;
use crate::server::Server;

/// What a body may have unless its route says otherwise, in bytes.
pub(crate) const BODY: usize = 1024 * 1024;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, from everywhere: also served where nothing but public paths are.
    Outside,
    /// Everybody who reaches the service's own address: what says nothing, and what signs in.
    Anyone,
    /// Who has a credential with this scope.
    Needs(Scope),
}

/// Makes the schema of a type when the API document is written.
pub(crate) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// A route, with everything that is said of it.
#[derive(Clone)]
pub struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) handler: MethodRouter<Server>,
    pub(crate) body_limit: usize,
    /// Whether it may take as long as it needs.
    pub(crate) streams: bool,
    pub(crate) document: Option<Document>,
}

/// What the API document says of a route.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) tag: &'static str,
    /// Unique over all routes.
    pub(crate) operation: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) query: Option<Describe>,
    pub(crate) body: Option<(Describe, bool)>,
    pub(crate) answers: Vec<(u16, &'static str, &'static str, Option<Describe>)>,
    pub(crate) problems: Vec<(u16, &'static str)>,
    pub(crate) idempotent: bool,
}

macro_rules! method {
    ($(#[$doc:meta])* $name:ident, $method:ident) => {
        $(#[$doc])*
        pub fn $name<H, T>(path: &'static str, access: Access, handler: H) -> Route
        where
            H: Handler<T, Server>,
            T: 'static,
        {
            Route {
                method: Method::$method,
                path,
                access,
                handler: on(MethodFilter::$method, handler),
                body_limit: BODY,
                streams: false,
                document: None,
            }
        }
    };
}

method!(
    /// A route that only looks.
    get, GET
);
method!(
    /// A route that does something.
    post, POST
);
method!(
    /// A route that puts something in its place.
    put, PUT
);
method!(
    /// A route that changes a part of something.
    patch, PATCH
);
method!(
    /// A route that takes something away.
    delete, DELETE
);

impl Route {
    /// Says what it is in the API document: the group, a unique name and a sentence.
    #[must_use]
    pub fn says(self, tag: &'static str, operation: &'static str, summary: &'static str) -> Self {
        let document = Document {
            tag,
            operation,
            summary,
            query: None,
            body: None,
            answers: vec![],
            problems: vec![],
            idempotent: false,
        };
        Self { document: Some(document), ..self }
    }

    /// Says what may follow the question mark.
    #[must_use]
    pub fn query<T: JsonSchema>(mut self) -> Self {
        if let Some(document) = &mut self.document {
            document.query = Some(T::json_schema);
        }
        self
    }

    /// Says what the body is.
    #[must_use]
    pub fn takes<T: JsonSchema>(mut self) -> Self {
        if let Some(document) = &mut self.document {
            document.body = Some((SchemaGenerator::subschema_for::<T>, true));
        }
        self
    }

    /// Says what the body is, where there may be none.
    #[must_use]
    pub fn may_take<T: JsonSchema>(mut self) -> Self {
        if let Some(document) = &mut self.document {
            document.body = Some((SchemaGenerator::subschema_for::<T>, false));
        }
        self
    }

    /// Says what is answered where all is well.
    #[must_use]
    pub fn answers<T: JsonSchema>(mut self, status: u16, words: &'static str) -> Self {
        if let Some(document) = &mut self.document {
            let describe: Describe = SchemaGenerator::subschema_for::<T>;
            document.answers.push((status, words, "application/json", Some(describe)));
        }
        self
    }

    /// The same for an answer that is no JSON, or has no body if `media` is empty.
    #[must_use]
    pub fn answers_as(mut self, status: u16, words: &'static str, media: &'static str) -> Self {
        if let Some(document) = &mut self.document {
            document.answers.push((status, words, media, None));
        }
        self
    }

    /// Says which problems are answered besides those that every route may answer.
    #[must_use]
    pub fn problems(mut self, problems: &[(u16, &'static str)]) -> Self {
        if let Some(document) = &mut self.document {
            document.problems.extend_from_slice(problems);
        }
        self
    }

    /// Lets callers repeat a request under the same `Idempotency-Key`: it is done once.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        if let Some(document) = &mut self.document {
            document.idempotent = true;
        }
        self
    }

    /// Lets bodies have so many bytes.
    #[must_use]
    pub fn body_limit(self, bytes: usize) -> Self {
        Self { body_limit: bytes, ..self }
    }

    /// Lets it take as long as it needs, or as it is listened to.
    #[must_use]
    pub fn streams(self) -> Self {
        Self { streams: true, ..self }
    }
}

/// The table of routes.
#[derive(Clone, Default)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// Adds a route.
    #[must_use]
    pub fn and(mut self, route: Route) -> Self {
        self.0.push(route);
        self
    }

    /// Adds all routes of another table.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The same routes, each changed.
    #[must_use]
    pub(crate) fn map(self, change: impl Fn(Route) -> Route) -> Self {
        Self(self.0.into_iter().map(change).collect())
    }

    /// The routes: method, path, and who may use it.
    pub fn iter(&self) -> impl Iterator<Item = (&Method, &'static str, Access)> {
        self.0.iter().map(|route| (&route.method, route.path, route.access))
    }

    pub(crate) fn all(&self) -> &[Route] {
        &self.0
    }

    /// Only those that are served where nothing but public paths are.
    pub(crate) fn outside(&self) -> Self {
        let outside = |route: &&Route| route.access == Access::Outside;
        Self(self.0.iter().filter(outside).cloned().collect())
    }

    /// The routes as axum serves them, each behind its guard.
    pub(crate) fn router(&self, server: &Server) -> Router<Server> {
        self.0.iter().fold(Router::new(), |router, route| {
            router.route(route.path, crate::guard::guarded(route, server))
        })
    }
}
