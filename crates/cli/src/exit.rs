//! Exit codes: what a script can tell from how a command ended.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; also when a signal ended a run in good order.
    Done = 0,
    /// Something that should not happen.
    Unexpected = 1,
    /// Wrong use of the command line.
    Usage = 2,
    /// A flow file or `towpath.yaml` has mistakes.
    Findings = 3,
    /// A setting has to change first: of the flow, the account or the system.
    Config = 4,
    /// A system is not there; the next run goes on from the last commit.
    Unavailable = 5,
    /// Credentials were refused.
    Unauthorized = 6,
    /// A test of a flow file failed, or a mapping that was tried.
    Tests = 7,
    /// The store cannot be used: locked, another key, another format, damaged.
    Store = 8,
    /// `towpath doctor` found something that keeps flows from running.
    Unwell = 9,
}

/// The table in `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done; also when a signal ended a run in good order
  1  something unexpected
  2  wrong use of the command line
  3  a flow file or towpath.yaml has mistakes
  4  a setting has to change first: of the flow, the account or the system
  5  a system is not there; the next run goes on from the last commit
  6  credentials were refused
  7  a test of a flow file failed, or a mapping that was tried
  8  the store cannot be used: locked, another key, another format, damaged
  9  `towpath doctor` found something that keeps flows from running
130  a second signal ended it at once";

impl Exit {
    /// The code of a run's worst error.
    pub(crate) fn of_run(errors: &[engine::Error]) -> Self {
        use engine::Error;
        let code = |error: &Error| match error {
            Error::Config { .. }
            | Error::Stopped { .. }
            | Error::SourceChanged { .. }
            | Error::TooManyRejects { .. }
            | Error::Refused { .. }
            | Error::NoSuchLetter { .. }
            | Error::Letter { .. }
            | Error::TooManyDeletes { .. }
            | Error::AlreadyRunning { .. } => Self::Config,
            Error::Unauthorized { .. } | Error::Paused { .. } => Self::Unauthorized,
            Error::Unavailable { .. } | Error::HeldBack { .. } => Self::Unavailable,
            Error::Store { .. } | Error::Snapshot { .. } | Error::NewerSnapshot { .. } => {
                Self::Store
            }
            Error::Internal { .. } => Self::Unexpected,
        };
        // What needs a person goes before what the next run may find well again.
        let rank = |exit: &Self| match exit {
            Self::Unexpected => 5,
            Self::Store => 4,
            Self::Unauthorized => 3,
            Self::Config => 2,
            _ => 1,
        };
        errors.iter().map(code).max_by_key(rank).unwrap_or(Self::Done)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that decides the exit code.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
}

impl Failed {
    pub(crate) fn config(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Config, error: error.into() }
    }

    /// A failure of the engine.
    pub(crate) fn run(error: engine::Error) -> Self {
        Self { exit: Exit::of_run(std::slice::from_ref(&error)), error: error.into() }
    }

    /// Says where it happened.
    pub(crate) fn at(self, place: String) -> Self {
        Self { error: self.error.context(place), ..self }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { exit: Exit::Unexpected, error: error.into() }
    }
}

/// The result of a command.
pub(crate) type Result<T = Exit> = std::result::Result<T, Failed>;
