//! The running sandbox: starting, stopping, and its controls for tests in the same process.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cleverreach::{Blacklisted, CleverReach, Mail, Receiver, Touch};
use crate::clevertap::{CleverTap, Delivered, Ordered, Refused, Uploaded};
use crate::clock::Clock;
use crate::fault::{Fault, FaultState, Faults};
use crate::lock::lock;
use crate::options::{Credentials, GroupSeed, Options, Switches};
use crate::server;
use crate::stats::{Counters, Stats, Vendor};

/// Why a sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken or may not be bound.
    #[error("could not listen on 127.0.0.1:{port}: {source}")]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
}

/// What both servers and the controls share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) date_header: bool,
    pub(crate) credentials: Credentials,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
    pub(crate) cleverreach: CleverReach,
    pub(crate) clevertap: CleverTap,
    switches: Mutex<Arc<Switches>>,
}

impl State {
    pub(crate) fn switches(&self) -> Arc<Switches> {
        Arc::clone(&lock(&self.switches))
    }

    pub(crate) fn set_switches(&self, switches: Switches) {
        *lock(&self.switches) = Arc::new(switches);
    }
}

/// Both vendors, served on loopback ports until this is stopped or dropped.
///
/// Its methods take effect at once: a request that arrives after one returned sees the change.
#[derive(Debug)]
pub struct Sandbox {
    state: Arc<State>,
    cleverreach: SocketAddr,
    clevertap: SocketAddr,
    servers: [JoinHandle<()>; 3],
}

impl Sandbox {
    /// Seeds the data, binds both ports and starts to serve on the current tokio runtime.
    ///
    /// # Errors
    /// [`Error::Bind`] where a port cannot be had.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let reach_listener = bind(options.cleverreach_port).await?;
        let tap_listener = bind(options.clevertap_port).await?;
        let (cleverreach, clevertap) = (address(&reach_listener)?, address(&tap_listener)?);
        let clock = Clock::new(options.now);
        let state = Arc::new(State {
            cleverreach: CleverReach::new(&options, clock.now()),
            clevertap: CleverTap::new(options.keep_delivered),
            clock,
            date_header: options.date_header,
            credentials: Credentials::default(),
            counters: Counters::default(),
            faults: Faults::default(),
            switches: Mutex::new(Arc::new(options.switches)),
        });
        let start =
            |listener, vendor| tokio::spawn(server::serve(listener, vendor, Arc::clone(&state)));
        let told = Arc::clone(&state);
        let telling = tokio::spawn(async move {
            let policy = || {
                let switches = told.switches();
                (switches.hook_attempts, switches.hooks_lost)
            };
            told.cleverreach.hooks.deliver(policy).await;
        });
        let (reach, tap) =
            (start(reach_listener, Vendor::CleverReach), start(tap_listener, Vendor::CleverTap));
        let servers = [reach, tap, telling];
        Ok(Self { state, cleverreach, clevertap, servers })
    }

    /// Ends both servers and every connection, and waits until they are gone.
    pub async fn stop(mut self) {
        for server in &mut self.servers {
            server.abort();
            // An aborted task ends with an error that says just that.
            drop(server.await);
        }
    }

    /// Gives the base URL for an account of CleverReach: `http://127.0.0.1:PORT/v3`.
    pub fn cleverreach_url(&self) -> String {
        format!("http://{}/v3", self.cleverreach)
    }

    /// Gives the base URL for an account of CleverTap: `http://127.0.0.1:PORT`.
    pub fn clevertap_url(&self) -> String {
        format!("http://{}", self.clevertap)
    }

    /// Gives the only credentials that are accepted.
    pub fn credentials(&self) -> &Credentials {
        &self.state.credentials
    }

    /// Gives the counters of both vendors.
    pub fn stats(&self) -> Stats {
        self.state.counters.snapshot()
    }

    /// Sets all counters to 0.
    pub fn reset_stats(&self) {
        self.state.counters.reset();
    }

    /// Gives the clock's time in epoch seconds.
    pub fn now(&self) -> i64 {
        self.state.clock.now()
    }

    /// Sets the clock to these epoch seconds, where it stands still.
    pub fn set_clock(&self, now: i64) {
        self.state.clock.set(now);
    }

    /// Moves the clock by `seconds`, where it stands still, and gives its time.
    pub fn advance_clock(&self, seconds: i64) -> i64 {
        self.state.clock.advance(seconds)
    }

    /// Gives the switches.
    pub fn switches(&self) -> Switches {
        Switches::clone(&self.state.switches())
    }

    /// Replaces the switches.
    pub fn set_switches(&self, switches: Switches) {
        self.state.set_switches(switches);
    }

    /// Adds `count` made-up receivers, dated in the 30 days before the clock's now, and gives how
    /// many there are now.
    pub fn seed(&self, count: usize) -> usize {
        self.state.cleverreach.seed(count, self.now())
    }

    /// Adds a group, or renames a known one; only receivers seeded later become its members.
    pub fn add_group(&self, group: GroupSeed) {
        self.state.cleverreach.add_group(group, self.now());
    }

    /// Defines an attribute of a group, or account-wide without one; a known one stays.
    pub fn define_attribute(&self, group: Option<u64>, name: &str) {
        self.state.cleverreach.define(group.unwrap_or(0), name);
    }

    /// Changes several receivers as told and gives their ids.
    pub fn touch(&self, touch: &Touch) -> Vec<String> {
        self.state.cleverreach.touch(touch, self.now())
    }

    /// Adds a receiver or replaces the one with its id, and gives the id.
    pub fn put_receiver(&self, receiver: &Receiver) -> String {
        self.state.cleverreach.put(receiver)
    }

    /// Deletes a receiver; false where there is none.
    pub fn delete_receiver(&self, id: &str) -> bool {
        self.state.cleverreach.remove(id)
    }

    /// Puts a receiver into a group now, with attributes of the group's own, or changes those that it
    /// has there; false where there is no such receiver.
    pub fn join_group(&self, id: &str, group: u64, attributes: &Map<String, Value>) -> bool {
        self.state.cleverreach.join(id, group, attributes, self.now())
    }

    /// Takes a receiver out of a group, of which no time tells; false where it is not in it.
    pub fn leave_group(&self, id: &str, group: u64) -> bool {
        self.state.cleverreach.leave(id, group)
    }

    /// Gives one receiver.
    pub fn receiver(&self, id: &str) -> Option<Receiver> {
        self.state.cleverreach.receiver(id)
    }

    /// Gives the receiver with this address as a group has it; attributes and times are the
    /// group's where the address joined it by an upsert.
    pub fn member(&self, group: &str, email: &str) -> Option<Receiver> {
        self.state.cleverreach.member(email, group)
    }

    /// Waits until every webhook was called for what happened so far; gives the statuses of all
    /// calls since the start, 0 where there was no answer.
    pub async fn hooks_called(&self) -> Vec<u16> {
        self.state.cleverreach.hooks.settled().await;
        self.state.cleverreach.hooks.made()
    }

    /// Gives the confirmation mails in the order in which they were sent.
    pub fn mails(&self) -> Vec<Mail> {
        self.state.cleverreach.mails()
    }

    /// Gives who is on the blacklist, in the order of entry.
    pub fn blacklist(&self) -> Vec<Blacklisted> {
        self.state.cleverreach.blacklist()
    }

    /// Gives the names of the groups.
    pub fn group_names(&self) -> Vec<String> {
        self.state.cleverreach.group_names()
    }

    /// Gives all receivers in the order in which they were added.
    pub fn receivers(&self) -> Vec<Receiver> {
        self.state.cleverreach.receivers(0, usize::MAX)
    }

    /// Counts the receivers.
    pub fn receiver_count(&self) -> usize {
        self.state.cleverreach.len()
    }

    /// Ends every login at CleverReach: no refresh token is taken any more.
    pub fn forget_logins(&self) {
        self.state.cleverreach.forget_logins();
    }

    /// Makes every access token issued so far invalid.
    pub fn expire_tokens(&self) {
        self.state.cleverreach.expire_tokens();
    }

    /// Gives every record that CleverTap accepted, in order of arrival.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.state.clevertap.delivered(0, usize::MAX)
    }

    /// Counts the records that CleverTap accepted and kept.
    pub fn delivered_count(&self) -> usize {
        self.state.clevertap.delivered_count()
    }

    /// Gives every record that CleverTap refused, in order of arrival.
    pub fn refused(&self) -> Vec<Refused> {
        self.state.clevertap.refused()
    }

    /// Gives the properties of every profile by identity; later uploads win property by property.
    /// Profiles known by another identifier have keys such as `objectId:…`.
    pub fn profiles(&self) -> BTreeMap<String, Map<String, Value>> {
        self.state.clevertap.profiles()
    }

    /// Counts the profiles.
    pub fn profile_count(&self) -> usize {
        self.state.clevertap.profile_count()
    }

    /// Gives the properties of one profile.
    pub fn profile(&self, identity: &str) -> Option<Map<String, Value>> {
        self.state.clevertap.profile(identity)
    }

    /// Gives what CleverTap was ordered to do beside uploads, in order of arrival.
    pub fn ordered(&self) -> Vec<Ordered> {
        self.state.clevertap.ordered()
    }

    /// Gives the catalogues and lists that CleverTap was told of.
    pub fn uploaded(&self) -> Vec<Uploaded> {
        self.state.clevertap.uploaded()
    }

    /// Takes a device for one of a person's at CleverTap; a person that is not known is created.
    pub fn add_device(&self, identity: &str, object_id: &str) {
        self.state.clevertap.add_device(identity, object_id);
    }

    /// Forgets everything that CleverTap received, profiles included, and what was begun there.
    pub fn clear_delivered(&self) {
        self.state.clevertap.clear();
    }

    /// Sets a fault, behind those that are set.
    pub fn fault(&self, fault: Fault) {
        self.state.faults.add(fault);
    }

    /// Gives the faults that are set and how often each was applied.
    pub fn faults(&self) -> Vec<FaultState> {
        self.state.faults.list()
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

async fn bind(port: u16) -> Result<TcpListener, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| Error::Bind { port, source })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener.local_addr().map_err(|source| Error::Bind { port: 0, source })
}
