//! The one place that prints: results to stdout, everything for people to stderr.

use std::io::{self, IsTerminal, Write};

/// Writes a line of result to stdout. A closed pipe (`kiln images | head -1`) ends the program quietly.
pub(crate) fn result(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        quit(0);
    }
}

/// Writes a line for people to stderr.
pub(crate) fn note(text: &str) {
    // Nothing sensible is left to do when stderr is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// True if people look at stderr, and want colors there.
pub(crate) fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// True if stderr is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

#[expect(clippy::exit, reason = "the reader of stdout is gone: there is nobody to return to")]
fn quit(code: i32) -> ! {
    std::process::exit(code)
}
