//! What the engine refuses, as problems.

use engine::{Answer, Error, Request};
use http::StatusCode;

use crate::problem::Problem;
use crate::server::Server;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let said = error.to_string();
        match error {
            Error::AlreadyRunning { .. } => Self::conflict("flowRunning", said).hint(
                "try again when its run has ended; pausing it keeps it from beginning another",
            ),
            Error::NoSuchLetter { .. } => Self::not_found(said),
            Error::SourceChanged { .. } => Self::conflict("sourceChanged", said),
            Error::Unavailable { .. } | Error::HeldBack { .. } => {
                Self::conflict("unavailable", said)
            }
            Error::Unauthorized { .. } | Error::Paused { .. } => {
                Self::conflict("accountPaused", said)
            }
            Error::Config { .. }
            | Error::Stopped { .. }
            | Error::TooManyRejects { .. }
            | Error::TooManyDeletes { .. } => Self::conflict("needsChange", said),
            Error::Letter { .. } | Error::Refused { .. } => Self::unprocessable("refused", said),
            Error::Store { .. } | Error::Snapshot { .. } | Error::NewerSnapshot { .. } => {
                tracing::warn!(error = said, "the store did not answer");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store", said)
            }
            Error::Internal { .. } => {
                tracing::error!(error = said, "a request failed");
                Self::internal()
            }
        }
    }
}

/// Asks what operators ask; an answer to another question is a fault of ours.
pub(super) async fn ask(server: &Server, request: Request) -> Result<Answer, Problem> {
    Ok(server.office().handle.ask(request).await?)
}
