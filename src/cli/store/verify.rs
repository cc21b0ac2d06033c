//! `macula store verify`: reads everything and reports damage, with the stage and run that made it.

use std::fmt::Write as _;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::super::{Exit, Failure};
use super::{look, print};
use crate::base::shown;
use crate::progress::out;
use crate::progress::table::{bytes, counted, paragraph};
use crate::progress::text::duration;
use crate::run::Host;
use crate::store::verify::{self, Finding, Maker, Verified, Wrong};
use crate::store::{Inventory, Store};

/// The arguments of `macula store verify`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn verify(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = look(host)?;
    let clock = Instant::now();
    let verified = of(&store)?;
    if arguments.json {
        print(&(json(&verified).to_string() + "\n"));
    } else {
        print(&text(&verified, clock.elapsed().as_secs_f64()));
    }
    Ok(if verified.findings.is_empty() { Exit::Done } else { Exit::Differs })
}

/// Verifies a store.
pub(super) fn of(store: &Store) -> Result<Verified, Failure> {
    Ok(verify::verify(store, &Inventory::of(store)?)?)
}

fn text(verified: &Verified, seconds: f64) -> String {
    let mut text: String = verified.findings.iter().map(|finding| fitted(&line(finding))).collect();
    let rate = bytes((verified.bytes as f64 / seconds.max(1e-3)) as u64);
    text.push_str(&fitted(&format!(
        "{} ({}), {}, {} read in {} ({rate}/s)",
        counted(verified.objects as u64, "object", "objects"),
        bytes(verified.bytes),
        counted(verified.records as u64, "record", "records"),
        counted(verified.items as u64, "item", "items"),
        duration(seconds),
    )));
    match verified.findings.len() as u64 {
        0 => text.push_str("store is intact\n"),
        count => {
            let problems = counted(count, "problem", "problems");
            let _ = writeln!(text, "{problems} found; run `macula store repair`");
        }
    }
    text
}

/// A sentence in lines that fit.
pub(super) fn fitted(sentence: &str) -> String {
    paragraph(&shown::line(sentence), out::stdout_width(), 2)
}

/// One finding and its origin.
pub(super) fn line(finding: &Finding) -> String {
    let what = match &finding.wrong {
        Wrong::Damaged(digest) => format!("object {} is damaged", digest.short()),
        Wrong::Missing(digest) => format!("object {} is missing", digest.short()),
        Wrong::Record(path) => format!("record {} is damaged", short(path)),
        Wrong::Items { path, stretches } => {
            format!(
                "items {}: {}",
                short(path),
                counted(*stretches as u64, "stretch is damaged", "stretches are damaged")
            )
        }
    };
    match &finding.maker {
        None => what,
        Some(maker) => format!("{what}: {}", made_by(maker)),
    }
}

/// The stage and run that made it.
pub(super) fn made_by(maker: &Maker) -> String {
    let Maker { pipeline, stage, run, item } = maker;
    let of = item.as_ref().map(|item| format!("`{item}` of ")).unwrap_or_default();
    format!("{of}`{stage}` of `{pipeline}`, run {run}")
}

fn short(path: &std::path::Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().chars().take(8).collect()).unwrap_or_default()
}

fn json(verified: &Verified) -> serde_json::Value {
    let findings = verified.findings.iter().map(|finding| {
        let (kind, what) = match &finding.wrong {
            Wrong::Damaged(digest) => ("damaged-object", digest.to_string()),
            Wrong::Missing(digest) => ("missing-object", digest.to_string()),
            Wrong::Record(path) => ("damaged-record", path.display().to_string()),
            Wrong::Items { path, .. } => ("damaged-items", path.display().to_string()),
        };
        let maker = finding.maker.as_ref();
        json!({
            "kind": kind, "what": what,
            "pipeline": maker.map(|maker| &maker.pipeline), "stage": maker.map(|maker| &maker.stage),
            "run": maker.map(|maker| &maker.run), "item": maker.and_then(|maker| maker.item.as_ref()),
        })
    });
    json!({
        "objects": verified.objects, "bytes": verified.bytes, "records": verified.records, "items": verified.items,
        "findings": findings.collect::<Vec<_>>(),
    })
}
