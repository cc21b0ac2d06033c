//! `macula check`: says all that is wrong with a pipeline, or in one line what is there.

use clap::Args;

use super::{Exit, Failure, PipelineArguments, load};
use crate::base::Sources;
use crate::base::figure::counted;
use crate::diag::{self, Diag, Severity};
use crate::lang::spec::{Contents, Pipeline, Points, Sweep};
use crate::progress::{Colours, out};
use crate::run::Host;

/// Stages that the line on a pipeline names.
const MOST_NAMED: usize = 16;

/// The arguments of `macula check`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Print what is wrong as JSON
    #[arg(long)]
    json: bool,
}

/// Says all that is wrong with a pipeline, or in one line what is there.
///
/// # Errors
/// A [`Failure`] where the file can't be read.
pub fn check(world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    // A setting is for the pipeline; a sweep beside it may vary just that.
    let points = if arguments.pipeline.set.is_empty() { Points::All } else { Points::OneByOne };
    let (Contents { pipelines, sweeps }, diags, sources) = load::read(&arguments.pipeline, points)?;
    if arguments.json {
        out::say(&format!("{:#}\n", diag::json(&diags, &sources)));
    } else {
        say(world, &diags, &sources);
        if !wrong(&diags) {
            for pipeline in &pipelines {
                out::say(&format!("{}\n", summary(pipeline)));
            }
            for sweep in &sweeps {
                out::say(&format!("{}\n", sweep_summary(sweep)));
            }
        }
    }
    Ok(if wrong(&diags) { Exit::User } else { Exit::Done })
}

/// Widest lines of diagnostics.
const WIDEST: usize = 110;

/// Prints diagnostics on stderr.
pub(super) fn say(_world: &Host, diags: &[Diag], sources: &Sources) {
    let style = if out::stderr_colours() == Colours::Ansi { diag::Style::Colour } else { diag::Style::Plain };
    let width = out::stderr_size().map_or(WIDEST, |(columns, _)| columns.min(WIDEST));
    out::talk(&diag::render(diags, sources, style, width));
}

/// Whether an error is among them.
pub(super) fn wrong(diags: &[Diag]) -> bool {
    diags.iter().any(|diag| diag.severity == Severity::Error)
}

/// What a sweep varies, in one line.
fn sweep_summary(sweep: &Sweep) -> String {
    let axes = sweep.axes.iter().map(|axis| match axis.values.len() {
        count if axis.repeats => format!("{count} seeds"),
        count if count <= 4 => format!("{} {}", axis.name, axis.values.join(" | ")),
        count => format!("{} ({count} values)", axis.name),
    });
    let points = counted(sweep.count as u64, "point", "points");
    format!("sweep `{}`, {points} of `{}`: {}", sweep.name, sweep.base.name, axes.collect::<Vec<_>>().join(", "))
}

/// What is there, in one line.
fn summary(pipeline: &Pipeline) -> String {
    let count = pipeline.stages.len();
    let noun = if count == 1 { "stage" } else { "stages" };
    // What lies in a stage with a body is counted, not named.
    let mut names: Vec<(&str, usize)> = Vec::new();
    for stage in &pipeline.stages {
        let outer = stage.name.split('.').next().unwrap_or(&stage.name);
        match names.iter_mut().find(|(name, _)| *name == outer) {
            Some((_, within)) => *within += 1,
            None => names.push((outer, 1)),
        }
    }
    let is_instance = |name: &str| pipeline.instances.iter().any(|instance| instance.name == name);
    let shown =
        |(name, within): (&str, usize)| if is_instance(name) { format!("{name} ({within})") } else { name.to_owned() };
    let rest = names.len().saturating_sub(MOST_NAMED + 1);
    let rest = if rest == 0 { 0 } else { rest + 1 };
    names.truncate(names.len() - rest);
    let mut names: Vec<String> = names.into_iter().map(shown).collect();
    names.extend((rest > 0).then(|| format!("and {rest} more")));
    format!("pipeline `{}`, seed {}, {count} {noun}: {}", pipeline.name, pipeline.seed, names.join(", "))
}
