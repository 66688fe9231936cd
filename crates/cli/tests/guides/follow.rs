//! Follows a guide to the letter, in a folder of its own, as its reader would.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::like::alike;
use crate::page::{self, Ending, Part, Typed};

/// Nothing in a guide takes longer to show what it shows, a build from nothing included.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Someone who reads a guide and does what it says.
pub(crate) struct Reader {
    /// Where the terminal is.
    folder: PathBuf,
    /// What the terminal's environment holds; nothing else is taken from the test's own.
    environment: Vec<(String, String)>,
    /// What runs in other terminals.
    background: Vec<Background>,
}

struct Background {
    child: Child,
    /// Lines as they come; it stays open so that the command can go on writing.
    lines: mpsc::Receiver<String>,
}

impl Reader {
    /// A reader at `folder`, with `towpath` on the path.
    pub(crate) fn new(folder: &Path, home: &Path) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_towpath"));
        let programs = binary.parent().unwrap().to_str().unwrap();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        let home = home.to_str().unwrap().to_owned();
        let environment = vec![("PATH".to_owned(), path), ("HOME".to_owned(), home)];
        Self { folder: folder.to_owned(), environment, background: vec![] }
    }

    /// Sets a variable of the terminal's environment.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Does everything that the page says; panics where what it shows is not what is seen.
    pub(crate) fn follow(&mut self, name: &str, page: &str) {
        for part in page::read(page).unwrap_or_else(|problem| panic!("{name}: {problem}")) {
            match part {
                Part::File { path, text } => {
                    let path = self.folder.join(path);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, text).unwrap();
                }
                Part::Commands { commands, ending } => {
                    for typed in &commands {
                        self.do_it(typed, ending).unwrap_or_else(|seen| wrong(name, typed, &seen));
                    }
                }
            }
        }
    }

    /// Types one command. The error is what was seen instead of what the guide shows.
    fn do_it(&mut self, typed: &Typed, ending: Ending) -> Result<(), String> {
        if let Some(folder) = typed.text.strip_prefix("cd ") {
            self.folder.push(folder);
            return if self.folder.is_dir() { Ok(()) } else { Err("no such folder".to_owned()) };
        }
        if ending == Ending::Background {
            return self.start(typed);
        }
        let output = self.command(&typed.text).stdin(Stdio::null()).output().unwrap();
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() != (ending == Ending::Well) {
            return Err(format!("{seen}({})", output.status));
        }
        let lines: Vec<String> = seen.lines().map(str::to_owned).collect();
        if alike(&typed.shown, &lines) { Ok(()) } else { Err(seen) }
    }

    /// Starts a command in another terminal and waits until it shows what the guide shows.
    fn start(&mut self, typed: &Typed) -> Result<(), String> {
        let mut command = self.command(&format!("exec {}", typed.text));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        // It ends with the command, which ends with the reader.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).all(|line| send.send(line).is_ok());
        });
        self.background.push(Background { child, lines });
        let lines = &self.background.last().unwrap().lines;
        let mut seen = vec![];
        // One of which the page shows nothing is there with its first line.
        let is_there = |seen: &[String]| {
            !seen.is_empty() && (typed.shown.is_empty() || alike(&typed.shown, seen))
        };
        while !is_there(&seen) {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => seen.push(line),
                Err(_) => return Err(seen.join("\n")),
            }
        }
        Ok(())
    }

    fn command(&self, text: &str) -> Command {
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("exec 2>&1; {text}")])
            .current_dir(&self.folder)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for Background { child, .. } in &mut self.background {
            // Not with ctrl-c: what a shell runs in its background never hears that.
            let pid = child.id().to_string();
            drop(Command::new("kill").args(["-TERM", &pid]).status());
            drop(child.wait());
        }
    }
}

#[track_caller]
fn wrong(name: &str, typed: &Typed, seen: &str) -> ! {
    let shown = typed.shown.join("\n");
    panic!("{name}:{}: $ {}\n--- shown\n{shown}\n--- seen\n{seen}", typed.line, typed.text)
}
