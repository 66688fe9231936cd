//! What a connector promises, and the report of what was broken.

use std::collections::BTreeMap;
use std::fmt;

use crate::story::Unreadable;

macro_rules! promises {
    ($($name:ident $text:literal $hint:literal)*) => {
        /// What every connector promises to whoever runs it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Promise {
            $(#[doc = $text] $name,)*
        }

        impl Promise {
            /// Every promise, in the order of the report.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The promise, as a sentence.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What to change where it is broken.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint,)* }
            }
        }
    };
}

promises! {
    Stories "Every trigger and action has stories that show what it does."
        "add a file to the folder and record it: `cargo xtask record CONNECTOR`"
    Requests "It asks what was recorded, and everything that was recorded."
        "compare path segments (one argument each, `Api` escapes them), query and body with the recording; if the system really changed, record again"
    Records "It finds the records that were recorded, page by page."
        "look at how `poll` reads the answer: keys, versions, and when it says that there is a next page"
    Partitions "It lists the partitions that were recorded, each once, and reads each for itself."
        "look at `partitions`, and at what `poll` does with `scan.partition`"
    Outcomes "Every message has the outcome that was recorded, at its own position."
        "set outcomes by the item's position in the batch; what the answer refuses is `Outcome::rejected`"
    Outage "An outage is an error, never an empty page and never done."
        "hand the error on with `?`; accept no status but those that mean something, and give no field of an answer a default that it needs"
    Kind "An error says what the caller may do."
        "hand on the error that `Api` and `Response::json` give; a question that goes by POST is `.safe()`"
    RetryAfter "How long the system asks to wait reaches the caller."
        "hand on the `Error::Retry` that `send` gives; do not make a new one"
    OneTry "Trying again is the engine's business."
        "send every request once; no loop around `send`"
    Unauthorized "Refused credentials are said to be refused."
        "do not accept 401; hand on `Error::Unauthorized`"
    Renewal "A token that has ended is renewed, once, and nothing is lost."
        "let `Auth` fetch the token; do not keep tokens in the connector"
    Inside200 "A failure inside a 200 is a failure."
        "recognise it in the function given to `failure_inside_200`, and list its bodies in `failuresInside200` of system.json"
    Secrets "No secret is in an error, an outcome or a debug text."
        "what the system said goes through `Response::message` or `Response::redact`"
    Credentials "Every request carries the account's credentials."
        "ask by the `Api` that is handed in, and declare the headers in `Auth`"
    Resume "A scan goes on from every cursor after a restart, and finds everything."
        "all that the next page needs belongs into the cursor; keep nothing in the trigger or in a static"
    Cursor "The cursor moves only with its page."
        "make the next cursor from the page that arrived; remember nothing of a call that failed"
    ShortPage "A page with fewer records, or none, does not end a scan that has more."
        "end the scan where the system says so; if it has no other sign, set `shortPageEnds` in system.json"
    Repeated "A page that comes again hides no record."
        "compare the page with the one before by something in the cursor, and give `Error::retry` if it is the same"
    Twice "A record that comes twice in a page does no harm."
        "give it twice or once; the engine settles it once"
    Endless "A call ends after some requests, and a scan after some pages."
        "one request a page is enough; stop where the system gives the same again"
    Since "A scan for changes asks for them, the moment itself included."
        "send `since`; where the system knows only \"later than\", ask for a moment earlier"
    Versions "Records that are told by their time have one."
        "read the stamp into `Record::version`, or declare `Changes::Content`"
    Mapping "The default mapping takes every recorded record, and gives what the action takes."
        "look at the default mapping (*.jsonata) and at the action's input type"
    Volatile "What is declared volatile is in the records."
        "correct the JSON Pointers of `VOLATILE`, or record a record that has it"
    Closed "A field that does not exist is refused."
        "`#[serde(deny_unknown_fields)]` on the struct"
    Limits "Every limit class in use is declared."
        "`.limit(\"class\", requests at once)` on the connector, or correct the name in `.class(…)`"
    SameBytes "An idempotent action sends the same bytes again."
        "take nothing from clocks, counters or chance into a request; a message's `id` stays the same"
    TooLarge "A batch that is too large is said to be."
        "hand on `Error::TooLarge`: the engine halves the batch"
    Again "What must not be done twice is not sent again where it may have been done."
        "leave the messages of an order without a clear answer unset, or hand on `Error::Unknown`; put off, by `Outcome::Retry`, only what surely was not sent"
    Parks "What is finished later is asked after until it is done or refused."
        "write `check`, put all that it asks with into the token, and add stories with `check` in place of `batch`: not done yet (`parked`), done and refused"
    Proven "What does not prove who sent it is not believed."
        "let `proof` say how it is proven; the secret is a setting of the account, never a field"
    Refusals "A request that cannot be read is refused as its sender's mistake."
        "give `Refusal::bad_request` or `Refusal::media_type`; take nothing of a body that is cut, and repeat none of it"
    Open "What the answer leaves open stays unset."
        "set an outcome only for what the answer tells; if its parts do not add up, leave all unset"
}

/// One promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub promise: Promise,
    /// The story, or the part of the connector.
    pub story: String,
    /// What was done to it; "as recorded" if nothing.
    pub mutation: String,
    /// What should have come.
    pub expected: String,
    /// What came.
    pub got: String,
}

/// What was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Stories as recorded.
    pub stories: usize,
    /// Stories with something changed.
    pub mutations: usize,
}

/// Why a connector is not accepted; its `Debug` text is the report, since that is what a failing
/// test shows.
#[derive(thiserror::Error)]
pub enum Rejected {
    /// The files cannot be used.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The machine does not let it play.
    #[error("could not listen on loopback: {0}")]
    Io(#[from] std::io::Error),
    /// Promises were broken.
    #[error("{}", report(connector, broken))]
    Broken {
        /// The connector's name.
        connector: String,
        /// All of them.
        broken: Vec<Broken>,
    },
}

impl Rejected {
    /// The promises that were broken.
    pub fn broken(&self) -> &[Broken] {
        match self {
            Self::Broken { broken, .. } => broken,
            _ => &[],
        }
    }
}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// How often one promise is shown broken.
const SHOWN: usize = 8;

fn report(connector: &str, broken: &[Broken]) -> String {
    let mut by_promise = BTreeMap::<Promise, Vec<&Broken>>::new();
    for it in broken {
        by_promise.entry(it.promise).or_default().push(it);
    }
    let count = by_promise.len();
    let mut text = format!("connector {connector} is not accepted; {count} promises are broken\n");
    for (promise, broken) in by_promise {
        text.push_str(&format!("\n{:?}: {}\n", promise, promise.text()));
        for it in broken.iter().take(SHOWN) {
            text.push_str(&format!(
                "  story {}, {}\n    expected  {}\n    got       {}\n",
                it.story, it.mutation, it.expected, it.got
            ));
        }
        if broken.len() > SHOWN {
            text.push_str(&format!("  and {} times more\n", broken.len() - SHOWN));
        }
        text.push_str(&format!("  change    {}\n", promise.hint()));
    }
    text
}

/// What was played so far, and what was broken by it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) story: String,
    pub(crate) mutation: String,
    /// Made-up as they are, they are shown nowhere: a report is looked through for them.
    pub(crate) secrets: Vec<String>,
    pub(crate) played: Accepted,
    pub(crate) broken: Vec<Broken>,
}

impl Ledger {
    /// Begins the next thing that is played.
    pub(crate) fn mutate(&mut self, mutation: impl Into<String>) {
        self.mutation = mutation.into();
        self.played.mutations += 1;
    }

    pub(crate) fn breaks(
        &mut self,
        promise: Promise,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) {
        let hide = |text: String| {
            self.secrets.iter().fold(text, |text, secret| text.replace(secret, "<the secret>"))
        };
        let (expected, got) = (hide(expected.into()), hide(got.into()));
        let (story, mutation) = (self.story.clone(), self.mutation.clone());
        self.broken.push(Broken { promise, story, mutation, expected, got });
    }
}
