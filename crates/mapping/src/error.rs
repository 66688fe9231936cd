//! What is wrong with an expression, or with one evaluation of it.

/// An expression that does not compile, or an evaluation that failed or met a limit.
///
/// The message may quote a value of the input, so treat it like the record that it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Error {
    /// The stable JSONata code: `S…` syntax, `T…` type, `D…` dynamic (`D1011` depth, `D1012`
    /// time), `U1001` a size limit, `U1004` unreadable input, `U1006` the limit of steps, `U1007` a
    /// panic inside the engine.
    pub code: String,
    /// A lowercase sentence fragment without a full stop.
    pub message: String,
    /// Byte offset in the source where the offending text starts; unknown for errors that no
    /// single place causes, such as a result that is too large.
    pub position: Option<usize>,
    /// Length in bytes of the offending text, 0 if unknown.
    pub length: usize,
    /// The token or function involved, if one is.
    pub token: Option<String>,
}

impl Error {
    /// An error that no single place causes.
    pub(crate) fn nowhere(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            position: None,
            length: 0,
            token: None,
        }
    }

    /// The message of serde_json may quote the value; the position is enough.
    pub(crate) fn unreadable(error: &serde_json::Error) -> Self {
        Self::nowhere(
            "U1004",
            format!(
                "the value is not JSON that can be read, at line {} column {} of its text",
                error.line(),
                error.column()
            ),
        )
    }
}
