//! All output to stdout and stderr. Control characters in a user's files are escaped ([`shown`]), so they cannot act on the terminal,
//! and a failed write to stdout is remembered until the command ends ([`finish`]), so output is never lost silently.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::table::flow;
use crate::base::shown;

/// Columns of lines that do not go to a terminal, or to one of unknown size.
pub const WIDTH: usize = 80;

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Even in a pipe or a file.
    Always,
    /// Never.
    Never,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// ANSI colours.
    Ansi,
    /// None.
    Off,
}

impl Colours {
    /// Text in a tint.
    #[must_use]
    pub fn tint(self, text: &str, tint: Tint) -> String {
        let code = match (self, tint) {
            (Self::Off, _) | (_, Tint::None) => return text.to_owned(),
            (_, Tint::Dim) => "2",
            (_, Tint::Green) => "32",
            (_, Tint::Yellow) => "33",
            (_, Tint::Red) => "1;31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// What a colour means, the same on all screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    /// Nothing in particular.
    None,
    /// Nothing to do or to look at.
    Dim,
    /// Computed.
    Green,
    /// Needs a look.
    Yellow,
    /// Wrong.
    Red,
}

/// How much is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volume {
    /// Results and errors.
    Quiet,
    /// What most people want to see.
    #[default]
    Normal,
    /// Every detail.
    Verbose,
}

/// Output settings from the command line and the environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// When colours are used.
    pub color: Color,
    /// How much is printed.
    pub volume: Volume,
    /// Columns of lines, whatever the terminal says.
    pub columns: Option<usize>,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Sets the output settings; only the first call has an effect.
pub fn configure(settings: Settings) {
    let _ = SETTINGS.set(settings);
}

fn settings() -> Settings {
    SETTINGS.get().copied().unwrap_or_default()
}

/// How much is printed.
#[must_use]
pub fn volume() -> Volume {
    settings().volume
}

/// Colours for text on stdout.
#[must_use]
pub fn stdout_colours() -> Colours {
    colours(stdout_is_terminal())
}

/// Colours for text on stderr.
#[must_use]
pub fn stderr_colours() -> Colours {
    colours(stderr_is_terminal())
}

fn colours(terminal: bool) -> Colours {
    match settings().color {
        Color::Always => Colours::Ansi,
        Color::Auto if terminal => Colours::Ansi,
        Color::Auto | Color::Never => Colours::Off,
    }
}

/// Columns for lines on stdout: those of the settings, the terminal's, or [`WIDTH`].
#[must_use]
pub fn stdout_width() -> usize {
    settings().columns.or_else(|| Some(stdout_size()?.0)).unwrap_or(WIDTH)
}

/// Columns for lines on stderr: those of the settings, the terminal's, or [`WIDTH`].
#[must_use]
pub fn stderr_width() -> usize {
    settings().columns.or_else(|| Some(stderr_size()?.0)).unwrap_or(WIDTH)
}

/// An error, a warning or a hint for stderr, broken at the width of a terminal. In a pipe or a file each stays on one line, so that
/// `grep` finds it.
#[must_use]
pub fn message(text: &str) -> String {
    broken(text, stderr_is_terminal().then(stderr_width))
}

/// Like [`message`], for stdout.
#[must_use]
pub fn stdout_message(text: &str) -> String {
    broken(text, stdout_is_terminal().then(stdout_width))
}

fn broken(text: &str, width: Option<usize>) -> String {
    const FURTHER: usize = 4;
    let Some(width) = width else { return text.to_owned() };
    let mut out = String::new();
    for line in text.lines() {
        let words = line.trim_start_matches(' ');
        let margin = line.len() - words.len();
        let further = if margin < FURTHER { FURTHER } else { margin + 2 };
        let lines = flow(words, width.saturating_sub(margin), width.saturating_sub(further));
        for (at, line) in lines.iter().enumerate() {
            out.push_str(&" ".repeat(if at == 0 { margin } else { further }));
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Prints text on stdout: words, tables, JSON. Colours are removed unless [`stdout_colours`] wants them.
pub fn say(text: &str) {
    to_stdout(&safe(text, steering(stdout_colours())));
}

/// Prints data on stdout as it is; on a terminal like [`say`].
pub fn data(text: &str) {
    if stdout_is_terminal() { say(text) } else { to_stdout(text) }
}

/// Prints a message on stderr. Failures are ignored.
pub fn talk(text: &str) {
    to_stderr(&safe(text, steering(stderr_colours())));
}

/// Prints a note on stderr in lines that fit, unless `--quiet` was given.
pub fn note(text: &str) {
    if volume() > Volume::Quiet {
        talk(&super::table::paragraph(text.trim_end(), stderr_width(), 2));
    }
}

/// Draws on stderr, which is a terminal, with the cursor movements of a live display. Failures are ignored.
pub fn draw(text: &str) {
    to_stderr(&safe(text, Steering::Cursor));
}

/// The error of a failed write to stdout, if there was one. A reader that closed the pipe (`| head`) does not count.
#[must_use]
pub fn finish() -> Option<io::Error> {
    to_stdout("");
    match std::mem::replace(&mut *stdout_state(), StdoutState::Open) {
        StdoutState::Failed(error) if error.kind() != ErrorKind::BrokenPipe => Some(error),
        _ => None,
    }
}

/// Whether stdout is a terminal.
#[must_use]
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether stderr is a terminal.
#[must_use]
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Columns and rows of the terminal on stdout.
#[must_use]
pub fn stdout_size() -> Option<(usize, usize)> {
    size(rustix::termios::tcgetwinsize(io::stdout()).ok()?)
}

/// Columns and rows of the terminal on stderr; they may change at any time.
#[must_use]
pub fn stderr_size() -> Option<(usize, usize)> {
    size(rustix::termios::tcgetwinsize(io::stderr()).ok()?)
}

fn size(size: rustix::termios::Winsize) -> Option<(usize, usize)> {
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}

/// State of stdout.
#[derive(Debug)]
enum StdoutState {
    /// Everything was written.
    Open,
    /// A write failed. Nothing more is written: text after a gap would look complete.
    Failed(io::Error),
}

static STDOUT: Mutex<StdoutState> = Mutex::new(StdoutState::Open);

fn stdout_state() -> std::sync::MutexGuard<'static, StdoutState> {
    STDOUT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn to_stdout(text: &str) {
    let mut state = stdout_state();
    if matches!(*state, StdoutState::Open) {
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            *state = StdoutState::Failed(error);
        }
    }
}

fn to_stderr(text: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Control sequences that may pass. All of them are macula's own; other text is escaped where it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steering {
    /// None.
    None,
    /// Colours: `ESC [ 1;31 m`.
    Colours,
    /// Colours and cursor movements: a carriage return, `ESC [ 3 A`, `ESC [ K`, `ESC [ J`.
    Cursor,
}

fn steering(colours: Colours) -> Steering {
    match colours {
        Colours::Ansi => Steering::Colours,
        Colours::Off => Steering::None,
    }
}

/// Whether a character must be escaped; tabs and line feeds are layout.
fn acts(c: char) -> bool {
    !matches!(c, '\n' | '\t') && shown::acts(c)
}

fn safe(text: &str, steering: Steering) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let own = own(rest, steering);
        let (taken, after) = rest.split_at(own.unwrap_or(c.len_utf8()));
        if own.is_some() || !acts(c) {
            safe.push_str(taken);
        } else {
            safe.push_str(&shown::escape(c));
        }
        rest = after;
    }
    Cow::Owned(safe)
}

/// Length in bytes of the control sequence at the start of `text`, if it may pass.
fn own(text: &str, steering: Steering) -> Option<usize> {
    if steering == Steering::Cursor && text.starts_with('\r') {
        return Some(1);
    }
    let numbers = text.strip_prefix("\u{1b}[")?;
    let length = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    let passes = match numbers.as_bytes()[length] {
        b'm' => steering != Steering::None,
        b'A' | b'J' | b'K' => steering == Steering::Cursor,
        _ => false,
    };
    passes.then_some(2 + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_pass_to_a_terminal_and_nothing_to_a_file() {
        let text = "\u{1b}[1;31merror\u{1b}[0m: \u{1b}[2J\u{1b}]0;title\u{7}\u{9b}\u{202e}\r\n";
        let all = r"\u001b[1;31merror\u001b[0m: ";
        let rest = "\\u001b[2J\\u001b]0;title\\u0007\\u009b\\u202e\\r\n";
        assert_eq!(safe(text, Steering::None), format!("{all}{rest}"));
        assert_eq!(safe(text, Steering::Colours), format!("\u{1b}[1;31merror\u{1b}[0m: {rest}"));
    }

    #[test]
    fn a_live_display_moves_the_cursor_and_does_no_more() {
        let own = "\r\u{1b}[3A\u{1b}[32m##\u{1b}[0m\u{1b}[K\n\u{1b}[J";
        assert_eq!(safe(own, Steering::Cursor), own);
        assert_eq!(safe("\u{1b}[3;4H\u{1b}[6n\u{1b}c\u{8}", Steering::Cursor), r"\u001b[3;4H\u001b[6n\u001bc\u0008");
    }

    #[test]
    fn messages_are_broken_on_a_terminal_only() {
        let text = "error[few]: one two three\n    four five six\n  hint: seven eight\n";
        assert_eq!(broken(text, None), text);
        assert_eq!(
            broken(text, Some(16)),
            "error[few]: one\n    two three\n    four five\n      six\n  hint: seven\n    eight\n"
        );
    }

    #[test]
    fn what_is_plain_is_not_copied() {
        assert!(matches!(safe("two\nlines\n", Steering::None), Cow::Borrowed(_)));
    }
}
