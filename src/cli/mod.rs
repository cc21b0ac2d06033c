//! The command line, one command a file.

mod activity;
mod amounts;
pub mod artifact;
pub mod bench;
pub mod check;
pub mod compare;
pub mod completions;
pub mod doc;
pub mod explain;
pub mod failure;
mod file;
pub mod fmt;
pub mod get;
pub mod graph;
pub mod library;
pub mod load;
pub mod lock;
pub mod lsp;
pub mod man;
mod mistaken;
mod network;
pub mod new;
pub mod package;
mod paths;
pub mod pictures;
pub mod plan;
pub mod predict;
pub mod pull;
pub mod push;
pub mod rebuild;
mod result_file;
pub mod run;
pub mod runs;
pub mod schema;
pub mod show;
pub mod store;
pub mod trust;
pub mod why;

use std::process::ExitCode;

use clap::{Command, CommandFactory as _, Parser, Subcommand};

pub use failure::{Exit, Failure};
pub use load::{Loaded, PipelineArguments};

use crate::base::threads;
use crate::learn::kernels;
use crate::progress::{Colours, out};
use crate::run::Host;

/// Experiments on medical photographs as KDL pipelines: cached by content, reproducible, trained on this machine.
#[derive(Debug, Parser)]
#[command(name = "macula", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    output: Output,
}

/// How a command's output looks, the same for all commands.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
struct Output {
    /// Print results and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print every detail
    #[arg(long, short, global = true)]
    verbose: bool,
    /// Use colours: `NO_COLOR` and `TERM=dumb` mean never
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

impl Output {
    /// The settings for `out`; what is given by a flag goes before what the environment says.
    fn settings(self, world: &Host) -> out::Settings {
        let plain = world.variable("NO_COLOR").is_some() || world.variable("TERM") == Some("dumb");
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
        out::Settings { color, volume }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a pipeline file to begin with
    New(new::Arguments),
    /// Say all that is wrong with a pipeline
    Check(check::Arguments),
    /// Lay files out anew; comments and spelling stay
    Fmt(fmt::Arguments),
    /// Say what `run` would do
    Plan(plan::Arguments),
    /// Compute what is not there yet
    Run(run::Arguments),
    /// Write down what a pipeline came to, for `run --locked`
    Lock(lock::Arguments),
    /// Execute again in a scratch store and compare with what is stored
    Rebuild(rebuild::Arguments),
    /// Say why a stage runs or is reused
    Why(why::Arguments),
    /// Show what a stage's last run made: counts, tables, pictures
    Show(show::Arguments),
    /// Write a stage's output as files
    Get(get::Arguments),
    /// Score new photographs with a classifier that a pipeline trained
    Predict(predict::Arguments),
    /// Draw the pipeline: text, Mermaid, DOT or SVG
    Graph(graph::Arguments),
    /// Describe a stage: ports, parameters, examples
    Doc(doc::Arguments),
    /// List, print or write out the standard library
    Std(library::Arguments),
    /// List the packages of `project.kdl`, or pin one to its files
    Package(package::Arguments),
    /// Explain the code of an error or a warning
    Explain(explain::Arguments),
    /// Serve an editor: the language server, on stdin and stdout
    Lsp(lsp::Arguments),
    /// Put points of a sweep and past runs side by side
    Compare(compare::Arguments),
    /// Measure what this machine can do
    Bench(bench::Arguments),
    /// Let the commands of a pipeline run, as its files stand now
    Trust(trust::Arguments),
    /// List the runs of a pipeline
    Runs(runs::Arguments),
    /// Send a pipeline's results to the remotes of `project.kdl` that may be written to
    Push(push::Arguments),
    /// Bring a pipeline's results from the remotes of `project.kdl`
    Pull(pull::Arguments),
    /// Verify, repair, measure and clear the store
    Store(store::Arguments),
    /// Describe all stages, networks and codes for other programs
    Schema(schema::Arguments),
    /// Print a shell's completions
    Completions(completions::Arguments),
    /// Print manual pages, or write them
    Man(man::Arguments),
    /// Becomes a command behind walls; macula starts it itself
    #[command(hide = true, name = crate::run::commands::LAUNCHER)]
    Helper(trust::Helper),
    /// What the shells' completions ask for
    #[command(hide = true)]
    CompleteWords(completions::Words),
}

/// All that the command line knows.
fn command() -> Command {
    Arguments::command()
}

/// Does what the command line says. Exit codes: 0 done, 1 a stage failed or what was compared differs, 2 the user's file or flags,
/// 3 store or disk, 70 a defect of macula, 130 interrupted.
#[must_use]
pub fn main() -> ExitCode {
    let world = Host::real();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(mut error) => {
            let words: Vec<String> =
                std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            mistaken::explain(&mut error, &words);
            // `--help` and `--version` come here too, with exit code 0.
            out::configure(Output { quiet: false, verbose: false, color: When::Auto }.settings(&world));
            let (say, colours): (fn(&str), Colours) =
                if error.use_stderr() { (out::talk, out::stderr_colours()) } else { (out::say, out::stdout_colours()) };
            let coloured = colours == Colours::Ansi;
            let text = if coloured { error.render().ansi().to_string() } else { error.render().to_string() };
            say(&if error.use_stderr() { mistaken::broken(&text) } else { text });
            let exit = u8::try_from(error.exit_code()).unwrap_or(2);
            return ExitCode::from(lost().map_or(exit, |lost| lost.code().max(exit)));
        }
    };
    out::configure(arguments.output.settings(&world));
    let done = choose_kernels(&world).and_then(|()| begin_threads(&world, &arguments.verb)).and_then(|()| {
        match &arguments.verb {
            Verb::New(arguments) => new::new(&world, arguments),
            Verb::Check(arguments) => check::check(&world, arguments),
            Verb::Fmt(arguments) => fmt::fmt(&world, arguments),
            Verb::Plan(arguments) => plan::plan(&world, arguments),
            Verb::Run(arguments) => run::run(&world, arguments),
            Verb::Lock(arguments) => lock::lock(&world, arguments),
            Verb::Rebuild(arguments) => rebuild::rebuild(&world, arguments),
            Verb::Why(arguments) => why::why(&world, arguments),
            Verb::Show(arguments) => show::show(&world, arguments),
            Verb::Get(arguments) => get::get(&world, arguments),
            Verb::Predict(arguments) => predict::predict(&world, arguments),
            Verb::Graph(arguments) => graph::graph(&world, arguments),
            Verb::Doc(arguments) => doc::doc(&world, arguments),
            Verb::Std(arguments) => library::library(&world, arguments),
            Verb::Package(arguments) => package::package(&world, arguments),
            Verb::Explain(arguments) => explain::explain(&world, arguments),
            Verb::Lsp(arguments) => lsp::lsp(&world, arguments),
            Verb::Compare(arguments) => compare::compare(&world, arguments),
            Verb::Bench(arguments) => bench::bench(&world, arguments),
            Verb::Trust(arguments) => trust::trust(&world, arguments),
            Verb::Helper(arguments) => trust::helper(&world, arguments),
            Verb::Runs(arguments) => runs::runs(&world, arguments),
            Verb::Push(arguments) => push::push(&world, arguments),
            Verb::Pull(arguments) => pull::pull(&world, arguments),
            Verb::Store(arguments) => store::store(&world, arguments),
            Verb::Schema(arguments) => schema::schema(&world, arguments),
            Verb::Completions(arguments) => completions::completions(&world, arguments),
            Verb::CompleteWords(words) => completions::words(&world, words),
            Verb::Man(arguments) => man::man(&world, arguments),
        }
    });
    let exit = done.unwrap_or_else(|failure| {
        failure.print();
        failure.exit
    });
    lost().map_or(exit, |lost| exit.graver(lost)).into()
}

/// How a command ends whose output did not arrive, which is reported.
fn lost() -> Option<Exit> {
    let failure = Failure::unsaid(&out::finish()?);
    failure.print();
    Some(failure.exit)
}

/// Starts the threads that all verbs share but the helper, which has one so that it can start the command by `fork`, and those that
/// only look something up.
fn begin_threads(world: &Host, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Helper(_) | Verb::CompleteWords(_) | Verb::Completions(_) | Verb::Man(_) | Verb::Explain(_) => Ok(()),
        _ => threads::begin(world.processors).map_err(|error| {
            Failure::user(format!("the system gives no threads: {error}"))
                .hint("raise the limit on processes (`ulimit -u`) or on address space (`ulimit -v`)")
        }),
    }
}

/// Fixes the path of the kernels where `MACULA_KERNELS` names one, to repeat on a newer processor what an older one computed.
fn choose_kernels(world: &Host) -> Result<(), Failure> {
    let Some(name) = world.variable("MACULA_KERNELS") else { return Ok(()) };
    let path = kernels::Target::from_name(name)
        .ok_or_else(|| Failure::user(format!("MACULA_KERNELS is `{name}`: write `portable`, `avx2` or `avx512`")))?;
    if kernels::choose(path) == path {
        return Ok(());
    }
    Err(Failure::user(format!(
        "this processor can't execute the kernels `{}` that MACULA_KERNELS asks for",
        path.name()
    )))
}
