//! What is wrong with a file, where, and the way out.

use std::ops::Range;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but says something that cannot be meant.
    Warning,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file as the caller names it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes of the file.
    pub span: Range<usize>,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The stable code, one of [`CODES`]; `docs/errors/CODE.md` explains it.
    pub code: &'static str,
    /// What is wrong: a fragment in lower case.
    pub message: String,
    /// Where.
    pub place: Place,
    /// The way out, where there is a short one.
    pub hint: Option<String>,
}

impl Finding {
    /// Whether the finding keeps the file from being used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// What a code stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The code, never given to anything else.
    pub code: &'static str,
    /// What it means, as the title of its page.
    pub title: &'static str,
    /// The whole page, in Markdown.
    pub page: &'static str,
}

macro_rules! codes {
    ($($name:ident $code:literal $title:literal)*) => {
        /// Every code that a finding may have, in order; each has a page in `docs/errors/`.
        pub const CODES: &[Code] = &[$(Code {
            code: $code,
            title: $title,
            page: include_str!(concat!("../../../docs/errors/", $code, ".md")),
        }),*];

        /// The codes by what they mean.
        pub(crate) mod code {
            $(pub(crate) const $name: &str = $code;)*
        }
    };
}

codes! {
    SYNTAX "TP0101" "The file is not YAML"
    TOO_LARGE "TP0102" "The file is too large or too deeply nested"
    DUPLICATE_KEY "TP0103" "A key is there twice"
    UNKNOWN_KEY "TP0104" "Unknown key"
    MISSING_KEY "TP0105" "A key is missing"
    WRONG_TYPE "TP0106" "A value has the wrong type"
    FLOW_NAME "TP0110" "Bad flow name"
    DURATION "TP0111" "Bad duration"
    NUMBER "TP0112" "A number is out of range"
    STEP_ID "TP0113" "Bad step id"
    DUPLICATE_STEP "TP0114" "Two steps have the same id"
    AFTER "TP0115" "A step waits for one that does not exist"
    CIRCLE "TP0116" "A step waits for itself"
    UNREACHABLE "TP0117" "A step is never reached"
    RESULT "TP0118" "A result is read that is not there"
    CONNECTOR "TP0120" "Unknown connector"
    TRIGGER "TP0121" "Unknown trigger"
    ACTION "TP0122" "Unknown action"
    ACCOUNT "TP0123" "Unknown account"
    OTHER_ACCOUNT "TP0124" "The account belongs to another connector"
    UNKNOWN_FIELD "TP0130" "Unknown field"
    MISSING_FIELD "TP0131" "A field is missing"
    FIELD_TYPE "TP0132" "A field has the wrong type"
    FIELD_CHOICE "TP0133" "A field has a value that is not among its choices"
    FIELDS_REFUSED "TP0134" "The fields do not fit together"
    FIELDS_DOUBTFUL "TP0135" "The fields leave something open"
    EXPRESSION "TP0140" "Bad JSONata expression"
    SKIP_TYPE "TP0141" "`skipTransformation` is not true or false"
    CUSTOM_TYPE "TP0142" "`customMapping` is not text"
    UNUSED_MAPPING "TP0143" "A mapping is never used"
    ENGINE "TP0144" "Expressions are evaluated by jsonata-rs"
    FIELD_READ "TP0145" "A mapping reads a field that is not there"
    KEY_GIVEN "TP0146" "A mapping gives a key that the action does not take"
    KEY_MISSING "TP0147" "A mapping leaves out what the action needs"
    FUNCTION "TP0148" "An expression calls a function that there is not"
    SECRET_IN_FLOW "TP0150" "A secret is written in a flow file"
    SECRET_IN_CONFIG "TP0151" "A secret is written in `towpath.yaml`"
    TEST "TP0160" "A test cannot be run"
    UNMAPPABLE "TP0161" "A mapping fails on a record"
    UNKNOWN_SETTING "TP0170" "Unknown account setting"
    MISSING_SETTING "TP0171" "An account setting is missing"
    BAD_SETTING "TP0172" "An account setting has a bad value"
    LIMIT "TP0173" "Unknown limit"
    CRON "TP0180" "Bad cron expression"
    NEVER "TP0181" "A cron expression never fires"
    TIMEZONE "TP0182" "Unknown time zone"
    SCHEDULE "TP0183" "The parts of a schedule do not fit together"
    SWEEP "TP0184" "The trigger has nothing to sweep"
    DELETES_UNKNOWN "TP0185" "The trigger cannot tell what is gone"
    DELETES_UNUSED "TP0186" "Deletes come to no step"
    NOT_REPEATABLE "TP0187" "A step of a flow that answers may not be repeated"
    SAME_NAME "TP0190" "Two files have a flow of the same name"
    MISNAMED "TP0191" "A trigger names a flow or account that there is not"
}
