//! A connector: a system's triggers and actions, and how to reach it.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use schemars::{JsonSchema, schema_for};

use crate::account::{Account, AccountError, Values};
use crate::descriptor::{ActionDescriptor, TriggerDescriptor};
use crate::{
    About, Action, Api, Auth, Handling, HeardTrigger, Limit, PartnerKit, PollingTrigger, Result,
    Setting, Test, Tested, ToldTrigger, WebhookTrigger,
};

/// The base URL of an account's system, from its settings.
type BaseUrl = fn(&Values) -> String;

/// The largest answer that is read, unless a connector says otherwise.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Finds a failure inside the body of a 200.
pub(crate) type FindFailure = fn(&[u8]) -> Option<Failure>;

/// A failure that a system reports inside a 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status that the answer should have had.
    pub status: u16,
    /// What the system said.
    pub message: String,
}

/// What a connector says of its system answering nothing but 5xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutageAdvice {
    /// How long that has to last.
    pub after: Duration,
    /// Whom to tell, or what to do.
    pub advice: &'static str,
}

/// A system's triggers and actions, and how to reach it. Built once, shared by all flows.
#[derive(Clone)]
pub struct Connector {
    name: &'static str,
    about: &'static str,
    documentation: About,
    access: Handling,
    deletion: Handling,
    base_url: BaseUrlOf,
    auth: Auth,
    without_accounts: bool,
    settings: Vec<Setting>,
    limits: Vec<Limit>,
    /// Classes whose pace is an account's setting: the class and the setting.
    paces: Vec<(&'static str, &'static str)>,
    failure: Option<FindFailure>,
    test: Option<Test>,
    outage: Option<OutageAdvice>,
    partner_kits: &'static [PartnerKit],
    largest_answer: usize,
    given_at: &'static [&'static str],
    triggers: Vec<TriggerDescriptor>,
    actions: Vec<ActionDescriptor>,
    /// Whether an action was declared last.
    last_is_action: bool,
}

#[derive(Clone, Copy)]
enum BaseUrlOf {
    Fixed(&'static str),
    Settings(BaseUrl),
}

impl Connector {
    /// A connector called `name` for the system at `base_url`.
    pub fn new(name: &'static str, base_url: &'static str, auth: Auth) -> Self {
        let settings = auth.settings();
        Self {
            name,
            about: "",
            documentation: About::default(),
            access: Handling::default(),
            deletion: Handling::default(),
            base_url: BaseUrlOf::Fixed(base_url),
            auth,
            without_accounts: false,
            settings,
            limits: vec![],
            paces: vec![],
            failure: None,
            test: None,
            outage: None,
            partner_kits: &[],
            largest_answer: LARGEST_ANSWER,
            given_at: &[],
            triggers: vec![],
            actions: vec![],
            last_is_action: false,
        }
    }

    /// Says in one sentence what the system is.
    #[must_use]
    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Adds what its page says that code cannot, in Markdown; [`About`] says in which form.
    #[must_use]
    pub const fn page(mut self, markdown: &'static str) -> Self {
        self.documentation = About::new(markdown);
        self
    }

    /// Says what becomes of a person's request for access to their data and for its deletion;
    /// [`Handling::ByHand`] if nothing is said.
    #[must_use]
    pub const fn privacy(mut self, access: Handling, deletion: Handling) -> Self {
        (self.access, self.deletion) = (access, deletion);
        self
    }

    /// Says that nothing of it needs an account: there is no system that would be reached by one.
    #[must_use]
    pub const fn without_accounts(mut self) -> Self {
        self.without_accounts = true;
        self
    }

    /// Adds a setting to the connector's accounts.
    #[must_use]
    pub fn setting(mut self, setting: Setting) -> Self {
        self.settings.push(setting);
        self
    }

    /// Derives the base URL from an account's settings (a region).
    #[must_use]
    pub const fn base_url(mut self, base_url: BaseUrl) -> Self {
        self.base_url = BaseUrlOf::Settings(base_url);
        self
    }

    /// Declares a limit class: requests under way at once (0 counts as 1).
    #[must_use]
    pub fn limit(mut self, class: &'static str, concurrency: usize) -> Self {
        let concurrency = NonZeroUsize::new(concurrency).unwrap_or(NonZeroUsize::MIN);
        self.limits.push(Limit { class, concurrency, per_second: None });
        self
    }

    /// Adds to the limit class declared last: requests started in a second.
    #[must_use]
    pub fn per_second(mut self, requests: u32) -> Self {
        if let Some(limit) = self.limits.last_mut() {
            limit.per_second = NonZeroU32::new(requests);
        }
        self
    }

    /// Lets each account say how many requests of the limit class declared last are started in a
    /// second, by an optional setting that holds a number; what is left out is what is declared.
    #[must_use]
    pub fn paced_by(mut self, setting: &'static str) -> Self {
        if let Some(limit) = self.limits.last() {
            self.paces.push((limit.class, setting));
        }
        self
    }

    /// Recognises a failure that the system reports inside a 200.
    #[must_use]
    pub const fn failure_inside_200(mut self, failure: fn(&[u8]) -> Option<Failure>) -> Self {
        self.failure = Some(failure);
        self
    }

    /// Declares the test of an account: harmless questions that tell what its credentials may do.
    #[must_use]
    pub const fn test(mut self, test: Test) -> Self {
        self.test = Some(test);
        self
    }

    /// Says whom to tell, or what to do, where the system answers nothing but 5xx for so long: the
    /// log, the list of accounts and who is told that a flow fails have it from then on.
    #[must_use]
    pub const fn in_an_outage(mut self, after: Duration, advice: &'static str) -> Self {
        self.outage = Some(OutageAdvice { after, advice });
        self
    }

    /// Adds what its system wants from companies that become its partners.
    #[must_use]
    pub const fn partner_kits(mut self, kits: &'static [PartnerKit]) -> Self {
        self.partner_kits = kits;
        self
    }

    /// Says how many bytes of an answer are read at most; 64 MiB if nothing is said. So much memory
    /// a request under way may take.
    #[must_use]
    pub const fn largest_answer_of(mut self, bytes: usize) -> Self {
        self.largest_answer = bytes;
        self
    }

    /// Says at which hosts, and those below them, the system gives addresses for files
    /// ([`Api::to_given`]); its own is one of them without being named.
    #[must_use]
    pub const fn gives_addresses_at(mut self, hosts: &'static [&'static str]) -> Self {
        self.given_at = hosts;
        self
    }

    /// Adds a polling trigger with its default mapping.
    #[must_use]
    pub fn polling<T: PollingTrigger>(self, name: &'static str, mapping: &'static str) -> Self {
        self.trigger(TriggerDescriptor::polling::<T>(name, mapping))
    }

    /// Adds a trigger that its system calls where it was told to, and that is polled too, with its
    /// default mapping.
    #[must_use]
    pub fn heard<T: HeardTrigger>(self, name: &'static str, mapping: &'static str) -> Self {
        self.trigger(TriggerDescriptor::heard::<T>(name, mapping))
    }

    /// Adds a trigger that its system calls, with its default mapping.
    #[must_use]
    pub fn webhook<T: WebhookTrigger>(self, name: &'static str, mapping: &'static str) -> Self {
        self.trigger(TriggerDescriptor::webhook::<T>(name, mapping))
    }

    /// Adds a trigger whose records the runtime itself tells, with its default mapping.
    #[must_use]
    pub fn told<T: ToldTrigger>(self, name: &'static str, mapping: &'static str) -> Self {
        self.trigger(TriggerDescriptor::told::<T>(name, mapping))
    }

    fn trigger(mut self, trigger: TriggerDescriptor) -> Self {
        self.last_is_action = false;
        self.triggers.push(trigger);
        self
    }

    /// Declares what a record of the trigger declared last looks like, as the system gives it.
    ///
    /// It serves those who write mappings: `check` warns where one reads a field that is not among
    /// `T`'s. What `T` leaves open (a map, a JSON value) stays open; records are not held against
    /// it when they come.
    #[must_use]
    pub fn record<T: JsonSchema>(mut self) -> Self {
        if let Some(trigger) = self.triggers.last_mut() {
            trigger.record = Some(|| schema_for!(T));
        }
        self
    }

    /// Declares what the default mapping of the trigger declared last makes of a record: the data
    /// of its messages. It serves as [`Connector::record`] does.
    #[must_use]
    pub fn message<T: JsonSchema>(mut self) -> Self {
        if let Some(trigger) = self.triggers.last_mut() {
            trigger.message = Some(|| schema_for!(T));
        }
        self
    }

    /// Adds an action with its default mapping.
    #[must_use]
    pub fn action<A: Action>(mut self, name: &'static str, mapping: &'static str) -> Self {
        self.last_is_action = true;
        self.actions.push(ActionDescriptor::of::<A>(name, mapping));
        self
    }

    /// Gives the trigger or action declared last another name, which flow files may use too. What
    /// is remembered of a flow does not depend on which of its names is used.
    #[must_use]
    pub fn alias(mut self, name: &'static str) -> Self {
        let aliases = if self.last_is_action {
            self.actions.last_mut().map(|action| &mut action.aliases)
        } else {
            self.triggers.last_mut().map(|trigger| &mut trigger.aliases)
        };
        if let Some(aliases) = aliases {
            aliases.push(name);
        }
        self
    }

    /// The name that flow files use.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the system is, in one sentence.
    pub const fn description(&self) -> &'static str {
        self.about
    }

    /// The system's name as people write it; the connector's own if its page has no title.
    pub fn title(&self) -> &'static str {
        Some(self.documentation.title()).filter(|title| !title.is_empty()).unwrap_or(self.name)
    }

    /// What its page says that code cannot.
    pub const fn documentation(&self) -> About {
        self.documentation
    }

    /// What becomes of a person's request for access to their data.
    pub const fn access(&self) -> Handling {
        self.access
    }

    /// What becomes of a person's request for the deletion of their data.
    pub const fn deletion(&self) -> Handling {
        self.deletion
    }

    /// Whether its triggers and actions are used with an account.
    pub const fn has_accounts(&self) -> bool {
        !self.without_accounts
    }

    /// How its accounts prove who they are.
    pub const fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Where the system is, unless an account's settings decide that.
    pub const fn default_base_url(&self) -> Option<&'static str> {
        match self.base_url {
            BaseUrlOf::Fixed(url) => Some(url),
            BaseUrlOf::Settings(_) => None,
        }
    }

    /// The settings of its accounts.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Its limit classes.
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// The limit classes of an account: at the pace that its settings say, where they say one.
    pub(crate) fn limits_of(&self, values: &Values) -> Vec<Limit> {
        let pace = |limit: &Limit| {
            let (_, setting) = self.paces.iter().find(|(class, _)| *class == limit.class)?;
            values.get(setting).parse::<NonZeroU32>().ok()
        };
        let limits = self.limits.iter();
        limits.map(|it| Limit { per_second: pace(it).or(it.per_second), ..*it }).collect()
    }

    /// Its triggers.
    pub fn triggers(&self) -> &[TriggerDescriptor] {
        &self.triggers
    }

    /// Its actions.
    pub fn actions(&self) -> &[ActionDescriptor] {
        &self.actions
    }

    /// The trigger called `name`, by whichever of its names.
    pub fn find_trigger(&self, name: &str) -> Option<&TriggerDescriptor> {
        self.triggers.iter().find(|trigger| trigger.is_called(name))
    }

    /// The action called `name`, by whichever of its names.
    pub fn find_action(&self, name: &str) -> Option<&ActionDescriptor> {
        self.actions.iter().find(|action| action.is_called(name))
    }

    /// Makes an account of this connector from the values of its settings.
    ///
    /// `base_url` replaces the connector's own, and the origin of its OAuth2 endpoints with it.
    pub fn account(
        &self,
        name: &str,
        base_url: Option<&str>,
        values: BTreeMap<String, String>,
    ) -> Result<Account, AccountError> {
        let values = Values::check(name, &self.settings, values)?;
        let default = match self.base_url {
            BaseUrlOf::Fixed(url) => url.to_owned(),
            BaseUrlOf::Settings(url) => url(&values),
        };
        Account::new(name, self.name, base_url, &default, values, self.auth.clone())
    }

    /// Whether it says how an account is tested.
    pub const fn has_test(&self) -> bool {
        self.test.is_some()
    }

    /// Tests the account of `api`, one of this connector's. Without a test of its own it says so.
    pub async fn test_account(&self, api: &Api) -> Result<Tested> {
        match self.test {
            Some(test) => test(api).await,
            None => {
                let mut tested = Tested::default();
                tested.untested("account", "the connector has no test: the first run shows it");
                Ok(tested)
            }
        }
    }

    /// What its system wants from companies that become its partners, a kind each.
    pub const fn documents_of_partners(&self) -> &'static [PartnerKit] {
        self.partner_kits
    }

    /// What it says of an outage that lasts, if it says anything.
    pub const fn outage_advice(&self) -> Option<OutageAdvice> {
        self.outage
    }

    /// Whether it recognises failures that its system reports inside a 200.
    pub const fn finds_failures_inside_200(&self) -> bool {
        self.failure.is_some()
    }

    pub(crate) const fn largest_answer(&self) -> usize {
        self.largest_answer
    }

    pub(crate) const fn given_at(&self) -> &'static [&'static str] {
        self.given_at
    }

    pub(crate) const fn failure(&self) -> Option<FindFailure> {
        self.failure
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connector").field(&self.name).finish()
    }
}
