//! `macula store repair`: recomputes damaged or missing results from their records.

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
        print(&verify::fitted(&verify::line(finding)));
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
    let mut say = |line: String| text.push_str(&verify::fitted(&line));
    for (maker, seconds) in &repaired.healed {
        say(format!("recomputed in {}: {}", duration(*seconds), verify::made_by(maker)));
    }
    if repaired.segments > 0 {
        say(format!("rewrote {} of item records", counted(repaired.segments as u64, "segment", "segments")));
    }
    if repaired.records > 0 {
        let records = counted(repaired.records as u64, "unreadable record", "unreadable records");
        say(format!("removed {records}; the next run recomputes those results"));
    }
    if repaired.without_recipe > 0 {
        let results = counted(repaired.without_recipe as u64, "result is", "results are");
        say(format!("{results} intact, but can no longer be rebuilt without their pipeline (source listing lost)"));
    }
    for (maker, why) in &repaired.left {
        let of = maker.as_ref().map(|maker| format!("{}: ", verify::made_by(maker))).unwrap_or_default();
        say(format!("not repaired: {of}{why}"));
    }
    text
}
