//! How many calls a system takes at once: declared here, kept by the engine.

use std::any::Any;
use std::num::{NonZeroU32, NonZeroUsize};

use async_trait::async_trait;

/// A limit class of a connector: requests that share one limit of the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The class's name, as `Request::class` gives it.
    pub class: &'static str,
    /// Requests under way at once, over all flows with the same credentials.
    pub concurrency: NonZeroUsize,
    /// Requests started in a second, where the vendor counts those.
    pub per_second: Option<NonZeroU32>,
}

/// Keeps requests within the limits; the engine provides it, keyed by the credentials' identity.
#[async_trait]
pub trait Limiter: Send + Sync + 'static {
    /// Waits until a request of this class may start; it counts until the permit is dropped.
    async fn acquire(&self, identity: &str, limit: Limit) -> Permit;
    /// Learns that the system answered 429.
    fn throttled(&self, identity: &str, limit: Limit);
    /// Learns that the system took a request.
    fn accepted(&self, identity: &str, limit: Limit);
}

/// The right to have one request under way, given back when dropped.
pub struct Permit(#[expect(dead_code, reason = "held for its drop alone")] Box<dyn Any + Send>);

impl Permit {
    /// A permit that gives back `held` when dropped.
    pub fn new(held: impl Any + Send) -> Self {
        Self(Box::new(held))
    }
}

/// A limiter that lets everything pass, for a test of one connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

#[async_trait]
impl Limiter for Unlimited {
    async fn acquire(&self, _identity: &str, _limit: Limit) -> Permit {
        Permit::new(())
    }
    fn throttled(&self, _identity: &str, _limit: Limit) {}
    fn accepted(&self, _identity: &str, _limit: Limit) {}
}
