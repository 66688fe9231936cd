//! A question to the person at the terminal, before something that cannot be taken back.

use std::io::{BufRead, IsTerminal, Write};

/// Asks, and says whether the answer was yes; `None` if nobody is there to be asked.
pub(crate) fn asked(question: &str) -> Option<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return None;
    }
    let mut terminal = std::io::stderr().lock();
    // An answer to a question that could not be shown counts for nothing.
    write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()).ok()?;
    let mut line = String::new();
    input.lock().read_line(&mut line).ok()?;
    Some(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}
