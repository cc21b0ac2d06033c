//! `macula store gc`: removes results that are no longer wanted, and estimates the cost of recomputing them.

use std::fmt::Write as _;

use clap::Args;

use super::super::{Exit, Failure};
use super::{open, print};
use crate::progress::out;
use crate::progress::table::{Align, Grid, GridColumn, bytes, counted, paragraph};
use crate::progress::text::duration;
use crate::run::{Host, time};
use crate::stage::Cell;
use crate::store::collect::{self, Collected, Gone, Mode, Policy};

/// The arguments of `macula store gc`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Keep the last N runs of each pipeline and the results they used
    #[arg(long, value_name = "N")]
    keep_runs: Option<usize>,
    /// Keep runs and results used within this period: `30d`, `12h`, `90m`
    #[arg(long = "keep-within", alias = "older", value_name = "PERIOD", value_parser = age)]
    older: Option<u64>,
    /// Of the rest, keep as much as fits into this size; large and cheap results are removed first: `200GiB`, `500MB`
    #[arg(long, value_name = "S", value_parser = size)]
    max_size: Option<u64>,
    /// Show what would be removed, without removing anything
    #[arg(long)]
    dry_run: bool,
    /// List every result that is removed, not only the largest fifteen
    #[arg(long)]
    all: bool,
}

/// Maximum number of results listed without `--all`.
const LISTED: usize = 15;

pub(super) fn gc(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = open(host)?;
    let policy = Policy { keep_runs: arguments.keep_runs, younger_than: arguments.older, max_size: arguments.max_size };
    let mode = if arguments.dry_run { Mode::DryRun } else { Mode::Sweep };
    let collected = collect::collect(&store, policy, mode, host.nanoseconds())?;
    print(&text(&collected, mode, if arguments.all { usize::MAX } else { LISTED }));
    Ok(Exit::Done)
}

fn text(collected: &Collected, mode: Mode, lines: usize) -> String {
    let width = out::stdout_width();
    let mut text = results(&collected.results, width, lines);
    let mut say = |line: String| text.push_str(&paragraph(&line, width, 2));
    let (verb, would) = match mode {
        Mode::DryRun => ("would free", "would take"),
        Mode::Sweep => ("freed", "takes"),
    };
    say(format!(
        "{verb} {} of {}: {} and {} in total, {} of them unreferenced",
        bytes(collected.bytes),
        bytes(collected.before),
        counted(collected.results.len() as u64, "result", "results"),
        counted(collected.objects as u64, "object", "objects"),
        bytes(collected.unnamed),
    ));
    if !collected.results.is_empty() {
        say(format!("recomputing these results {would} {}", duration(collected.seconds)));
    }
    if collected.linked > 0 {
        say(format!(
            "{} of it stays on disk until `results/`, which links to it, is deleted or updated",
            bytes(collected.linked)
        ));
    }
    if collected.runs > 0 {
        let runs = counted(collected.runs as u64, "run", "runs");
        say(format!("{verb} {} of records of {runs}", bytes(collected.run_bytes)));
    }
    if collected.checkpoints > 0 {
        say(format!(
            "{} of unfinished work",
            counted(collected.checkpoints as u64, "old checkpoint", "old checkpoints")
        ));
    }
    if collected.living > 0 {
        let processes = counted(collected.living as u64, "other process uses", "other processes use");
        say(format!("{processes} the store; what they use is kept"));
    }
    text
}

/// The largest results that go.
fn results(gone: &[Gone], width: usize, lines: usize) -> String {
    if gone.is_empty() {
        return String::new();
    }
    let mut largest: Vec<&Gone> = gone.iter().collect();
    largest.sort_by_key(|gone| std::cmp::Reverse(gone.bytes));
    let cells = largest.iter().take(lines).map(|gone| {
        vec![
            Cell::Text(bytes(gone.bytes)),
            Cell::Text(duration(gone.seconds)),
            Cell::Text(gone.maker.stage.clone()),
            Cell::Text(gone.maker.pipeline.clone()),
            Cell::Text(time::minute(gone.used)),
        ]
    });
    let columns = [
        GridColumn::new("size").align(Align::Right),
        GridColumn::new("took").align(Align::Right),
        GridColumn::new("stage").shortest(24),
        GridColumn::new("pipeline").shortest(12).priority(1),
        GridColumn::new("last used").priority(2),
    ];
    let mut text = Grid::new(columns).rows(cells).fit(width).0;
    let rest: Vec<&&Gone> = largest.iter().skip(lines).collect();
    if !rest.is_empty() {
        let size = bytes(rest.iter().map(|gone| gone.bytes).sum());
        let _ =
            writeln!(text, "and {} with {size}: `--all`", counted(rest.len() as u64, "more result", "more results"));
    }
    text.push('\n');
    text
}

/// `30d`, `12h`, `90m`, `45s` in nanoseconds.
fn age(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a period: write `30d`, `12h`, `90m` or `45s`");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    count.checked_mul(seconds * 1_000_000_000).ok_or_else(wrong)
}

/// `200GiB`, `500MB`, `1000` in bytes.
pub(in crate::cli) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write `200GiB`, `500MB` or a number of bytes");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit: u64 = match &text[digits..].trim().to_ascii_lowercase()[..] {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    count.checked_mul(unit).ok_or_else(wrong)
}

#[test]
fn times_and_sizes_are_read() {
    assert_eq!(age("30d"), Ok(30 * 86_400 * 1_000_000_000));
    assert_eq!(age("90m"), Ok(5_400 * 1_000_000_000));
    assert!(age("d").is_err() && age("3y").is_err() && age("").is_err() && age("-1d").is_err());
    assert_eq!(size("200GiB"), Ok(200 << 30));
    assert_eq!(size("500MB"), Ok(500_000_000));
    assert_eq!(size("7"), Ok(7));
    assert!(size("GiB").is_err() && size("7 parsecs").is_err() && size("99999999999TiB").is_err());
}
