//! How often each route was asked, and how long the answers took.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// A route and how it was answered. The route is its template (`/hooks/{flow}`), so there are as
/// many as the table of routes has, whatever is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// What was asked over HTTP, in numbers.
pub(super) struct Answers {
    requests: Family<Answer, Counter>,
    took: Family<Route, Histogram, fn() -> Histogram>,
}

impl Answers {
    pub(super) fn new() -> Self {
        Self { requests: Family::default(), took: Family::new_with_constructor(answers) }
    }

    pub(super) fn register(&self, all: &mut Registry) {
        let help = "Requests by route and status of the answer";
        all.register("http_requests", help, self.requests.clone());
        let help = "How long it took until an answer began, by route";
        all.register_with_unit("http_request_duration", help, Unit::Seconds, self.took.clone());
    }

    pub(super) fn count(&self, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.requests.get_or_create(&Answer { route: route.clone(), status }).inc();
        self.took.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }
}

fn answers() -> Histogram {
    // 1 ms to 16 s.
    Histogram::new(exponential_buckets(0.001, 4.0, 8))
}
