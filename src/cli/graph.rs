//! `macula graph`: draws the pipeline.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use super::{Exit, Failure, PipelineArguments, load};
use crate::plan::Decision;
use crate::plan::drawings::{self, StageStatus};
use crate::progress::out;
use crate::run::{self, Host, Options};
use crate::store::Absent;

/// The arguments of `macula graph`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Output format; SVG follows the reader's light or dark theme
    #[arg(long, value_enum, default_value_t = DrawingFormat::Text)]
    format: DrawingFormat,
    /// Show which stages are cached and which will run
    #[arg(long)]
    states: bool,
}

/// Output formats of drawings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DrawingFormat {
    Text,
    Mermaid,
    Dot,
    Svg,
}

/// Draws the pipeline on stdout.
///
/// # Errors
/// A [`Failure`] if the pipeline cannot be read, or planned if states are requested.
pub fn graph(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    // Without states nothing is written: no store is made where there is none.
    let drawing = if arguments.states {
        let loaded = load::load(host, &arguments.pipeline)?;
        let options = Options::usual(host.processors);
        let marks = run::plan(host, &loaded.project(), &options, |engine, explained| {
            let marks = explained.iter().filter_map(|(id, decision, _)| {
                let mark = mark(decision)?;
                Some((engine.stage(*id).name.clone(), mark))
            });
            marks.collect()
        })?;
        drawings::drawing(&loaded.pipeline, &marks)
    } else {
        let (pipeline, ..) = load::chosen(&arguments.pipeline, load::LoadPurpose::Other)?;
        drawings::drawing(&pipeline, &BTreeMap::new())
    };
    out::say(&match arguments.format {
        DrawingFormat::Text => drawings::text(&drawing, out::stdout_width()),
        DrawingFormat::Mermaid => drawings::mermaid(&drawing),
        DrawingFormat::Dot => drawings::dot(&drawing),
        DrawingFormat::Svg => drawings::svg(&drawing),
    });
    Ok(Exit::Done)
}

/// Mark of a stage; a source has none, because it is checked, not computed.
pub(super) fn mark(decision: &Decision) -> Option<StageStatus> {
    match decision {
        Decision::Source(_) => None,
        Decision::Reuse(..) => Some(StageStatus::Stored),
        Decision::Run(task) if task.absent == Absent::Lost => Some(StageStatus::Damaged),
        Decision::Run(_) => Some(StageStatus::WillRun),
        Decision::Unknown(_) => Some(StageStatus::Unknown),
        Decision::Failed(_) | Decision::Blocked(_) => Some(StageStatus::Failed),
    }
}
