//! The command line, one command a file.

mod activity;
mod amounts;
pub mod artifact;
pub mod bench;
mod brief;
pub mod cancel;
pub mod check;
pub mod compare;
pub mod completions;
pub mod data;
pub mod doc;
mod executor;
pub mod explain;
pub mod failure;
mod file;
pub mod fmt;
pub mod get;
pub mod graph;
pub mod job;
pub mod library;
pub mod load;
pub mod lock;
mod logging;
pub mod logs;
pub mod lsp;
mod main_metric;
pub mod man;
mod mistaken;
mod namesake;
mod network;
pub mod new;
mod open_store;
pub mod pack;
pub mod package;
mod page_file;
mod paths;
pub mod pictures;
pub mod plan;
pub mod predict;
mod provenance;
pub mod pull;
pub mod push;
pub mod rebuild;
pub mod report;
mod result_file;
pub mod run;
mod run_changes;
mod run_id;
pub mod runs;
pub mod schema;
pub mod show;
mod stage_list;
pub mod status;
pub mod store;
pub mod trust;
pub mod unpack;
pub mod watch;
pub mod why;

use std::process::ExitCode;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use failure::{Exit, Failure};
pub use load::{Loaded, PipelineArguments};

use crate::base::threads;
use crate::engine::gpu::cache_in;
use crate::engine::kernels;
use crate::progress::{Colours, out};
use crate::run::Host;

/// Experiments on medical photographs as KDL pipelines: cached by content, reproducible, trained on this machine.
#[derive(Debug, Parser)]
#[command(name = "macula", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    output: OutputArguments,
}

/// Output options, the same for all commands.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
struct OutputArguments {
    /// Print results and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print every detail
    #[arg(long, short, global = true)]
    verbose: bool,
    /// When to use colours (`NO_COLOR` and `TERM=dumb` mean never)
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: When,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum When {
    /// On a terminal
    Auto,
    /// Even in a pipe or a file
    Always,
    /// Never
    Never,
}

impl OutputArguments {
    /// Settings for `out`; flags override the environment.
    fn settings(self, host: &Host) -> out::Settings {
        let plain = host.variable("NO_COLOR").is_some() || host.variable("TERM") == Some("dumb");
        let color = match self.color {
            When::Always => out::Color::Always,
            When::Auto if !plain => out::Color::Auto,
            When::Auto | When::Never => out::Color::Never,
        };
        let volume = match (self.quiet, self.verbose) {
            (true, _) => out::Volume::Quiet,
            (_, true) => out::Volume::Verbose,
            _ => out::Volume::Normal,
        };
        out::Settings { color, volume, columns: columns(host) }
    }
}

/// Fewest columns that are believed.
const NARROWEST: usize = 20;

/// The columns that the user's `COLUMNS` asks for.
fn columns(host: &Host) -> Option<usize> {
    let columns: usize = host.variable("COLUMNS")?.parse().ok()?;
    (columns > 0).then_some(columns.max(NARROWEST))
}

/// Columns of help: lines that are longer are hard to read, however wide a terminal is.
const WIDEST_HELP: usize = 100;

fn parsed(host: &Host) -> Result<Arguments, clap::Error> {
    let width = columns(host).or_else(|| Some(out::stdout_size()?.0)).unwrap_or(out::WIDTH);
    let mut command = command().term_width(width.min(WIDEST_HELP));
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a starter pipeline
    New(new::Arguments),
    /// Report every problem in a pipeline file
    Check(check::Arguments),
    /// Format pipeline files, keeping comments
    Fmt(fmt::Arguments),
    /// Show what `run` would do
    Plan(plan::Arguments),
    /// Check a pipeline's photographs and masks before training
    Data(data::Arguments),
    /// Run what isn't cached
    Run(run::Arguments),
    /// Show a run that goes on in another terminal
    Watch(watch::Arguments),
    /// Record the current results in a lock file, for `run --locked`
    Lock(lock::Arguments),
    /// Run stages again in a scratch store and compare the bytes
    Rebuild(rebuild::Arguments),
    /// Explain why a stage runs or is reused
    Why(why::Arguments),
    /// Show a stage's result: counts, tables, images
    Show(show::Arguments),
    /// Write one HTML file about a pipeline, a run or a sweep
    Report(report::Arguments),
    /// Copy a stage's output as files
    Get(get::Arguments),
    /// Score new photographs with a trained classifier
    Predict(predict::Arguments),
    /// Draw the pipeline as text, Mermaid, DOT or SVG
    Graph(graph::Arguments),
    /// Describe a stage: ports, parameters, examples
    Doc(doc::Arguments),
    /// List, print or export the standard library
    Std(library::Arguments),
    /// List the packages of `project.kdl`, or pin one by digest
    Package(package::Arguments),
    /// Explain the code of an error or a warning
    Explain(explain::Arguments),
    /// Start the language server for an editor, on stdin and stdout
    Lsp(lsp::Arguments),
    /// Compare the points of a sweep, or runs
    Compare(compare::Arguments),
    /// Measure the speed of this machine
    Bench(bench::Arguments),
    /// Allow this pipeline's `exec` commands to run (pinned to the current file contents)
    Trust(trust::Arguments),
    /// List the runs of a pipeline
    Runs(runs::Arguments),
    /// List the jobs of a cluster: what was asked for, where they run, how far they are
    Status(status::Arguments),
    /// Print the log of the job of a stage
    Logs(logs::Arguments),
    /// Cancel the jobs of a pipeline
    Cancel(cancel::Arguments),
    /// Upload a pipeline's results to the writable remotes of `project.kdl`
    Push(push::Arguments),
    /// Download a pipeline's results from the remotes of `project.kdl`
    Pull(pull::Arguments),
    /// Write a pipeline with its results to one file, for a colleague
    Pack(pack::Arguments),
    /// Unpack a file that `pack` wrote, and check what comes out again
    Unpack(unpack::Arguments),
    /// Verify, repair, measure or clean up the store
    Store(store::Arguments),
    /// Describe all stages, networks and codes for other programs
    Schema(schema::Arguments),
    /// Print shell completions
    Completions(completions::Arguments),
    /// Print or write manual pages
    Man(man::Arguments),
    /// Launcher of a sandboxed command, started by macula itself
    #[command(hide = true, name = crate::run::commands::LAUNCHER)]
    Helper(trust::Helper),
    /// Job of a cluster, submitted by `run --executor slurm`
    #[command(hide = true)]
    Job(job::Arguments),
    /// Candidates for shell completion
    #[command(hide = true)]
    CompleteWords(completions::Words),
}

/// Definition of the command line.
fn command() -> Command {
    Arguments::command()
}

/// Runs the command line. Exit codes: 0 done, 1 a stage failed or a comparison differs, 2 the user's file or flags, 3 store or disk,
/// 70 a bug in macula, 130 interrupted.
#[must_use]
pub fn main() -> ExitCode {
    let host = Host::real();
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let arguments = match parsed(&host) {
        Ok(arguments) => arguments,
        Err(mut error) => {
            mistaken::explain(&mut error, &words);
            // `--help` and `--version` come here too, with exit code 0.
            out::configure(OutputArguments { quiet: false, verbose: false, color: When::Auto }.settings(&host));
            let (say, colours): (fn(&str), Colours) =
                if error.use_stderr() { (out::talk, out::stderr_colours()) } else { (out::say, out::stdout_colours()) };
            let coloured = colours == Colours::Ansi;
            let text = if coloured { error.render().ansi().to_string() } else { error.render().to_string() };
            // In a pipe, an error or a hint is one line.
            let narrow = error.use_stderr() && out::stderr_is_terminal();
            say(&if narrow { mistaken::broken(&text, out::stderr_width()) } else { text });
            let exit = u8::try_from(error.exit_code()).unwrap_or(2);
            return ExitCode::from(lost().map_or(exit, |lost| lost.code().max(exit)));
        }
    };
    out::configure(arguments.output.settings(&host));
    if let Some(failure) = mistaken::setting_apart(&words) {
        failure.print();
        return failure.exit.into();
    }
    if let Some(cache) = host.cache() {
        cache_in(cache.join("gpu"));
    }
    let begun = begin_log(&host, &arguments.verb)
        .and_then(|()| choose_kernels(&host))
        .and_then(|()| begin_threads(&host, &arguments.verb));
    let done = begun.and_then(|()| match &arguments.verb {
        Verb::New(arguments) => new::new(&host, arguments),
        Verb::Check(arguments) => check::check(&host, arguments),
        Verb::Fmt(arguments) => fmt::fmt(&host, arguments),
        Verb::Plan(arguments) => plan::plan(&host, arguments),
        Verb::Data(arguments) => data::data(&host, arguments),
        Verb::Run(arguments) => run::run(&host, arguments),
        Verb::Watch(arguments) => watch::watch(&host, arguments),
        Verb::Lock(arguments) => lock::lock(&host, arguments),
        Verb::Rebuild(arguments) => rebuild::rebuild(&host, arguments),
        Verb::Why(arguments) => why::why(&host, arguments),
        Verb::Show(arguments) => show::show(&host, arguments),
        Verb::Report(arguments) => report::report(&host, arguments),
        Verb::Get(arguments) => get::get(&host, arguments),
        Verb::Predict(arguments) => predict::predict(&host, arguments),
        Verb::Graph(arguments) => graph::graph(&host, arguments),
        Verb::Doc(arguments) => doc::doc(&host, arguments),
        Verb::Std(arguments) => library::library(&host, arguments),
        Verb::Package(arguments) => package::package(&host, arguments),
        Verb::Explain(arguments) => explain::explain(&host, arguments),
        Verb::Lsp(arguments) => lsp::lsp(&host, arguments),
        Verb::Compare(arguments) => compare::compare(&host, arguments),
        Verb::Bench(arguments) => bench::bench(&host, arguments),
        Verb::Trust(arguments) => trust::trust(&host, arguments),
        Verb::Helper(arguments) => trust::helper(&host, arguments),
        Verb::Runs(arguments) => runs::runs(&host, arguments),
        Verb::Status(arguments) => status::status(&host, arguments),
        Verb::Logs(arguments) => logs::logs(&host, arguments),
        Verb::Cancel(arguments) => cancel::cancel(&host, arguments),
        Verb::Push(arguments) => push::push(&host, arguments),
        Verb::Pull(arguments) => pull::pull(&host, arguments),
        Verb::Pack(arguments) => pack::pack(&host, arguments),
        Verb::Unpack(arguments) => unpack::unpack(&host, arguments),
        Verb::Store(arguments) => store::store(&host, arguments),
        Verb::Schema(arguments) => schema::schema(&host, arguments),
        Verb::Completions(arguments) => completions::completions(&host, arguments),
        Verb::Job(arguments) => job::job(&host, arguments),
        Verb::CompleteWords(words) => completions::words(&host, words),
        Verb::Man(arguments) => man::man(&host, arguments),
    });
    let exit = done.unwrap_or_else(|failure| {
        failure.print();
        failure.exit
    });
    lost().map_or(exit, |lost| exit.graver(lost)).into()
}

/// Exit code of a command whose output was lost, which is reported.
fn lost() -> Option<Exit> {
    let failure = Failure::unsaid(&out::finish()?);
    failure.print();
    Some(failure.exit)
}

/// Starts the log, except for commands whose stderr belongs to somebody else.
fn begin_log(host: &Host, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Helper(_) | Verb::CompleteWords(_) => Ok(()),
        _ => logging::begin(host),
    }
}

/// Starts the shared thread pool, except for the launcher, which must be single-threaded to `fork`, and for simple lookups.
fn begin_threads(host: &Host, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Helper(_) | Verb::CompleteWords(_) | Verb::Completions(_) | Verb::Man(_) | Verb::Explain(_) => Ok(()),
        _ => threads::begin(host.processors).map_err(|error| {
            Failure::user(format!("cannot start threads: {error}"))
                .hint("raise the limit of processes (`ulimit -u`) or address space (`ulimit -v`)")
        }),
    }
}

/// Selects the kernels named by `MACULA_KERNELS`, to reproduce results of an older processor.
fn choose_kernels(host: &Host) -> Result<(), Failure> {
    let Some(name) = host.variable("MACULA_KERNELS") else { return Ok(()) };
    let path = kernels::Target::from_name(name)
        .ok_or_else(|| Failure::user(format!("MACULA_KERNELS is `{name}`: write `portable`, `avx2` or `avx512`")))?;
    if kernels::choose(path) == path {
        return Ok(());
    }
    Err(Failure::user(format!("this processor does not support the kernels `{}` of MACULA_KERNELS", path.name())))
}
