//! `macula store repair`: recomputes damaged or missing results from their records.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use clap::Args;

use super::super::{Exit, Failure, amounts};
use super::{look, open, print, verify};
use crate::progress::table::counted;
use crate::progress::text::duration;
use crate::run::repair::{self, Repaired};
use crate::run::{Host, Nobody, Options};

/// The arguments of `macula store repair`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Threads [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = amounts::threads)]
    threads: Option<NonZeroUsize>,
}

pub(super) fn repair(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let found = verify::of(&look(host)?)?;
    if found.findings.is_empty() {
        print("store is intact; nothing to repair\n");
        return Ok(Exit::Done);
    }
    for finding in &found.findings {
        print(&(verify::line(finding) + "\n"));
    }
    super::super::run::listen(host);
    let options = Options::usual(arguments.threads.map_or(host.processors, NonZeroUsize::get));
    let store = open(host)?;
    let repaired = repair::repair(host, &store, &found.findings, crate::stages::registry(), &options, &Nobody)?;
    print(&text(&repaired));
    Ok(if repaired.left.is_empty() { Exit::Done } else { Exit::Differs })
}

fn text(repaired: &Repaired) -> String {
    let mut text = String::new();
    for (maker, seconds) in &repaired.healed {
        let _ = writeln!(text, "recomputed in {}: {}", duration(*seconds), verify::made_by(maker));
    }
    if repaired.segments > 0 {
        let _ = writeln!(text, "rewrote {} of items", counted(repaired.segments as u64, "segment", "segments"));
    }
    if repaired.records > 0 {
        let records = counted(repaired.records as u64, "damaged record", "damaged records");
        let _ = writeln!(text, "{records} removed: the next run that wants what they named computes it again");
    }
    if repaired.without_recipe > 0 {
        let results = counted(repaired.without_recipe as u64, "result is", "results are");
        let _ = writeln!(
            text,
            "{results} whole, but only a run can compute them again: what a source found for them is lost"
        );
    }
    for (maker, why) in &repaired.left {
        let of = maker.as_ref().map(|maker| format!("{}: ", verify::made_by(maker))).unwrap_or_default();
        let _ = writeln!(text, "not repaired: {of}{why}");
    }
    text
}
