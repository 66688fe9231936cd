//! Names that nobody guesses.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use connector::Secret;

use crate::error::{Error, Result};

/// 256 random bits, in 43 characters that need no escaping anywhere.
pub(crate) fn unguessable() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A token of one process: for the commands of whoever may read the file that it is written to.
pub fn local_token() -> Result<Secret> {
    Ok(Secret::new(unguessable()?))
}
