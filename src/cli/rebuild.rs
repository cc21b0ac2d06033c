//! `macula rebuild`: runs stages again in a scratch store, as if nothing were cached, and compares with the stored results.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use clap::Args;

use super::run::{Commands, listen};
use super::{Exit, Failure, Loaded, PipelineArguments, amounts, load, trust};
use crate::base::Digest;
use crate::engine::kernels;
use crate::plan::{Decision, keys};
use crate::progress::out;
use crate::progress::table::render;
use crate::progress::{Colours, Detail, Plain, Viewer};
use crate::run::{self, Failures, Host, Links, Options, Project};
use crate::stage::{Cell, Table, Work};
use crate::store::{Accept, StageOutcome, Store};

/// The arguments of `macula rebuild`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Stages to run again, with everything they need [default: all]
    stages: Vec<String>,
    /// Threads shared by all stages; results do not depend on it [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = amounts::threads)]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    commands: Commands,
}

/// The digests of a stage's outputs, by port.
type OutputDigests = BTreeMap<String, Digest>;

/// Options of a run whose results are only compared: one stage at a time, nothing of other targets, nothing linked.
pub(super) fn again(host: &Host, threads: Option<NonZeroUsize>) -> Options {
    let threads = threads.map_or(host.processors, NonZeroUsize::get);
    Options {
        jobs: 1,
        failures: Failures::KeepGoing,
        accept: Accept::OwnTarget,
        links: Links::None,
        kernels: Some(kernels::target()),
        ..Options::usual(threads)
    }
}

/// Runs stages again and compares.
///
/// # Errors
/// A [`Failure`] if nothing could be run; different outputs are an [`Exit`].
pub fn rebuild(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    let options = Options {
        targets: arguments.stages.clone(),
        sandbox: arguments.commands.sandbox(),
        trust: trust::of_run(host, &loaded, arguments.commands.trust)?,
        ..again(host, arguments.threads)
    };
    let stored = stored(host, &loaded, &options)?;
    let folder = tempfile::Builder::new().prefix("rebuild-").tempdir_in(loaded.store.layout().root());
    let folder = folder.map_err(|error| Failure::user(format!("cannot create a scratch store: {error}")))?;
    let scratch = Store::open(folder.path())?;
    listen(host);
    let watch = Plain::new(Colours::Off, Detail::Brief, Viewer::Runner);
    let report = run::execute(host, &Project { store: &scratch, ..loaded.project() }, &options, &watch)?;
    let rows: Vec<RebuiltStage> = loaded
        .pipeline
        .stages
        .iter()
        .filter_map(|stage| {
            let made = report.record.stages.get(&stage.name)?;
            let implementation = crate::stages::find(&stage.implementation)?;
            let old = stored.get(&stage.name);
            (!matches!(implementation.work, Work::Source(_))).then(|| {
                let class = implementation.determinism.name(&keys::target(stage, implementation));
                RebuiltStage::of(&stage.name, class, old, made.became, &made.outputs)
            })
        })
        .collect();
    let columns = ["stage", "class", "again"].map(str::to_owned).to_vec();
    let cells = rows.iter().map(|row| [row.stage, row.class, row.again].map(|text| Cell::Text(text.into())).to_vec());
    let text = render(&Table { title: String::new(), columns, rows: cells.collect() }, out::stdout_width());
    out::say(&text);
    Ok(match (super::run::exit(&report), rows.iter().any(|row| row.broken)) {
        (Exit::Done, true) => Exit::Differs,
        (exit, _) => exit,
    })
}

/// Digests in the project's own store.
fn stored(host: &Host, loaded: &Loaded, options: &Options) -> Result<BTreeMap<String, OutputDigests>, Failure> {
    let found = run::plan(host, &loaded.project(), options, |engine, decided| {
        let reused = decided.iter().filter_map(|(id, decision, _)| match decision {
            Decision::Reuse(known, _) => {
                let outputs = known.outputs.iter().map(|(port, tree)| (port.clone(), tree.digest())).collect();
                Some((engine.stage(*id).name.clone(), outputs))
            }
            _ => None,
        });
        reused.collect()
    })?;
    Ok(found)
}

/// A stage that was run again.
struct RebuiltStage<'a> {
    stage: &'a str,
    class: &'static str,
    again: &'static str,
    /// Whether it differs although its determinism promises that it does not.
    broken: bool,
}

impl<'a> RebuiltStage<'a> {
    fn of(
        stage: &'a str,
        class: &'static str,
        old: Option<&OutputDigests>,
        became: StageOutcome,
        made: &OutputDigests,
    ) -> Self {
        let (again, broken) = match old {
            _ if became != StageOutcome::Computed => ("not computed", false),
            None => ("no stored result", false),
            Some(old) if old == made => ("same bytes", false),
            Some(_) => match class {
                "unknown" => ("differs (not deterministic)", false),
                "approximate" => ("differs (only metrics are promised)", false),
                _ => ("DIFFERS", true),
            },
        };
        Self { stage, class, again, broken }
    }
}
