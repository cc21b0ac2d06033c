//! `macula check`: reports every problem of pipeline files, or in one line what they hold.

use std::io::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::failure::{say_first, wrong};
use super::{Exit, Failure, PipelineArguments, file, load, paths};
use crate::base::figure::counted;
use crate::base::{Sources, regular, shown};
use crate::diag::{self, Diag};
use crate::lang::project::{self, ProjectFile};
use crate::lang::spec::{Pipeline, Points, Sweep};
use crate::progress::out;
use crate::progress::table::paragraph;
use crate::run::{Host, lockfile};

/// Maximum number of stages named in a pipeline's summary.
const MOST_NAMED: usize = 16;

/// The arguments of `macula check`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The KDL files; `base` means `base.kdl` if only that exists, `-` is stdin
    #[arg(required = true, value_name = "FILE", value_parser = file::parser())]
    files: Vec<PathBuf>,
    /// Set a parameter, checked like the file: `--set patches.size=64`
    #[arg(long, value_name = "STAGE.PARAM=VALUE")]
    set: Vec<String>,
    /// Print every problem as JSON
    #[arg(long)]
    json: bool,
}

/// Reports every problem of the files, or in one line each what they hold.
///
/// # Errors
/// A [`Failure`] if a file cannot be read.
pub fn check(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let mut problems: Vec<Value> = Vec::new();
    let mut unread: Vec<Failure> = Vec::new();
    let mut left = diag::MOST_DRAWN;
    for file in &arguments.files {
        let checked = match checked(host, file, &arguments.set) {
            Ok(checked) => checked,
            Err(failure) => {
                unread.push(failure);
                continue;
            }
        };
        let Checked { lines, diags, sources } = checked;
        if arguments.json {
            // A file that others use is read with each of them.
            let found = diag::json(&diags, &sources).as_array().cloned().unwrap_or_default();
            let new: Vec<Value> = found.into_iter().filter(|problem| !problems.contains(problem)).collect();
            problems.extend(new);
        } else {
            if left == 0 && !diags.is_empty() {
                let name = shown::line(&file::named(file)).into_owned();
                out::talk(&format!("{name}: {}; none are shown\n", diag::count(&diags)));
            } else {
                say_first(left, &diags, &sources);
            }
            left = left.saturating_sub(diags.len());
            for line in lines.into_iter().filter(|_| !wrong(&diags)) {
                out::say(&paragraph(&line, out::stdout_width(), 2));
            }
        }
        if wrong(&diags) {
            exit = Exit::User;
        }
    }
    let last = unread.pop();
    if arguments.json && (last.is_none() || arguments.files.len() > 1) {
        out::say(&format!("{:#}\n", Value::Array(problems)));
    }
    for failure in &unread {
        failure.print();
    }
    last.map_or(Ok(exit), Err)
}

/// What a file holds, in a line each, and what is wrong with it.
struct Checked {
    lines: Vec<String>,
    diags: Vec<Diag>,
    sources: Sources,
}

fn checked(host: &Host, file: &Path, set: &[String]) -> Result<Checked, Failure> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let unread = |error: Error| file::unread(file, &error);
    if name == project::FILE {
        let mut sources = Sources::default();
        let (settings, diags) = project::read(file, &mut sources).map_err(unread)?;
        return Ok(Checked { lines: vec![project_summary(&settings)], diags, sources });
    }
    if name.ends_with(".lock.kdl") {
        let text = regular::read_to_string(file).map_err(unread)?;
        let lock = lockfile::read(&text).map_err(|error| {
            Failure::user(format!("`{}`: {error}", file.display())).hint("`macula lock` writes it again")
        })?;
        let line = format!("lock file, {}", counted(lock.stages.len() as u64, "stage", "stages"));
        return Ok(Checked { lines: vec![line], diags: Vec::new(), sources: Sources::default() });
    }
    // A setting is for the pipeline; a sweep next to it may vary just that.
    let points = if set.is_empty() { Points::All } else { Points::OneByOne };
    let pipeline = PipelineArguments { file: file.to_owned(), pipeline: None, sweep: None, set: set.to_vec() };
    let (contents, mut diags, sources) = if file == Path::new(file::STDIN) {
        load::read_text(&file::read(file).map_err(unread)?, set, points)
    } else {
        load::read(&pipeline, points)?
    };
    paths::missing(host, file, &contents, &mut diags);
    let lines = contents.pipelines.iter().map(summary).chain(contents.sweeps.iter().map(sweep_summary));
    Ok(Checked { lines: lines.collect(), diags, sources })
}

/// One-line summary of a `project.kdl`.
fn project_summary(project: &ProjectFile) -> String {
    let store = if project.store.is_some() { "a store" } else { "no store of its own" };
    let packages = counted(project.packages.len() as u64, "package", "packages");
    let remotes = counted(project.remotes.len() as u64, "remote", "remotes");
    format!("project file: {store}, {packages}, {remotes}")
}

/// One-line summary of a sweep.
fn sweep_summary(sweep: &Sweep) -> String {
    let axes = sweep.axes.iter().map(|axis| match axis.values.len() {
        count if axis.repeats => format!("{count} seeds"),
        count if count <= 4 => format!("{} {}", axis.name, axis.values.join(" | ")),
        count => format!("{} ({count} values)", axis.name),
    });
    let points = counted(sweep.count as u64, "point", "points");
    format!("sweep `{}`, {points} of `{}`: {}", sweep.name, sweep.base.name, axes.collect::<Vec<_>>().join(", "))
}

/// One-line summary of a pipeline.
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
