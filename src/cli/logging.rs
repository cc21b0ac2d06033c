//! `MACULA_LOG`: what macula does inside, with times, for people who look for the cause of a delay or an error. Unless it is set, no
//! subscriber exists, and a span costs one comparison.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Mutex;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Failure;
use crate::progress::out;
use crate::run::Host;

/// The variable with the levels.
const LEVELS: &str = "MACULA_LOG";

/// The variable with the file for the log.
const FILE: &str = "MACULA_LOG_FILE";

/// What can be logged. A level without a target is for those of macula.
const TARGETS: [&str; 8] = [
    "macula",
    "macula::stage",
    "macula::item",
    "macula::store",
    "macula::remote",
    "object_store",
    "ureq",
    "ureq_proto",
];

/// Starts logging if `MACULA_LOG` is set.
///
/// # Errors
/// A value that cannot be understood, or a file that cannot be written.
pub(super) fn begin(host: &Host) -> Result<(), Failure> {
    let Some(levels) = host.variable(LEVELS) else { return Ok(()) };
    let targets = targets(levels)?;
    let writer = match host.variable(FILE) {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(host.folder.join(path));
            BoxMakeWriter::new(Mutex::new(file.map_err(|error| Failure::unwritten(&path, &error))?))
        }
        None => BoxMakeWriter::new(|| Stderr),
    };
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_span_events(FmtSpan::CLOSE).with_writer(writer);
    // Fails only if there is a subscriber already.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
    Ok(())
}

/// Whether the log goes to stderr, where a live display would overwrite it.
pub(super) fn is_on_stderr(host: &Host) -> bool {
    host.variable(LEVELS).is_some() && host.variable(FILE).is_none()
}

/// The filter that a value of `MACULA_LOG` means.
fn targets(levels: &str) -> Result<Targets, Failure> {
    let mut all = Targets::new();
    for part in levels.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (target, level) = part.split_once('=').map_or(("macula", part), |(target, level)| (target.trim(), level));
        if !TARGETS.contains(&target) {
            return Err(wrong(format!("unknown target `{target}` in {LEVELS}")));
        }
        let level = level.trim();
        // The library takes an empty level for `error`.
        let parsed = Some(level).filter(|level| !level.is_empty()).and_then(|level| level.parse::<LevelFilter>().ok());
        all = all.with_target(target, parsed.ok_or_else(|| wrong(format!("unknown level `{level}` in {LEVELS}")))?);
    }
    Ok(all)
}

fn wrong(text: String) -> Failure {
    let targets = TARGETS.join(", ");
    Failure::user(text).hint(format!(
        "write a level (error, warn, info, debug, trace, off) or `TARGET=LEVEL`, several with commas; targets: {targets}"
    ))
}

/// A writer of whole lines to stderr.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        out::talk(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_macula_and_a_target_has_its_own() {
        let shown = |levels: &str| targets(levels).map(|targets| targets.to_string());
        assert_eq!(shown("info"), Ok("macula=info".to_owned()));
        assert_eq!(shown("DEBUG"), Ok("macula=debug".to_owned()));
        assert_eq!(shown("info, macula::store=trace,"), Ok("macula::store=trace,macula=info".to_owned()));
        assert!(
            targets("macula::store=debug").is_ok_and(|of| !of.would_enable("macula::stage", &tracing::Level::ERROR))
        );
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_the_right_ones() {
        for (levels, text) in [
            ("loud", "unknown level `loud` in MACULA_LOG"),
            ("macula::stor=debug", "unknown target `macula::stor` in MACULA_LOG"),
            ("macula::store=", "unknown level `` in MACULA_LOG"),
        ] {
            let failure = targets(levels).expect_err("it is wrong");
            assert_eq!(failure.text, text);
            assert!(failure.hint.is_some_and(|hint| hint.contains("debug") && hint.contains("macula::remote")));
        }
    }
}
