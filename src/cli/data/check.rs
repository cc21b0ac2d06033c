//! `macula data check`: reads every photograph and mask of a pipeline's sources, and reports everything that is wrong or strange. Stores nothing.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;

use super::super::run::{glyphs, listen};
use super::super::{Exit, Failure, PipelineArguments, amounts, load, paths};
use super::{json, text};
use crate::base::disk;
use crate::data::check::FindingLevel;
use crate::lang::near;
use crate::progress::{ProgressBar, out};
use crate::report::data_check::page;
use crate::run::data_check::{self, DataCheckError};
use crate::run::resources::ResourceLimits;
use crate::run::{Host, Options};
use crate::stage::StageError;

/// The arguments of `macula data check`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Check the photographs of this stage; may be repeated [default: all stages that read or generate photographs]
    #[arg(long, value_name = "STAGE")]
    stage: Vec<String>,
    /// Threads; results do not depend on it [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = amounts::threads)]
    threads: Option<NonZeroUsize>,
    /// Also write an HTML page, which shows small pictures of photographs with problems
    #[arg(long, value_name = "FILE.html", value_parser = html_file)]
    page: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// A file name of a page: another one is likely a mistake, and the file would be overwritten.
fn html_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_html =
        path.extension().is_some_and(|ending| ["html", "htm"].iter().any(|html| ending.eq_ignore_ascii_case(html)));
    if is_html { Ok(path) } else { Err("the name of a page ends in `.html`".to_owned()) }
}

pub(super) fn check(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    paths::note_project(host, &arguments.pipeline.file);
    let page_file = arguments.page.as_ref().map(|file| host.folder.join(file));
    if let Some(parent) = page_file.as_deref().and_then(Path::parent)
        && !parent.is_dir()
    {
        return Err(Failure::user(format!("the folder `{}` does not exist", host.shown(parent)))
            .hint("create it, or write the page elsewhere"));
    }
    let threads = arguments.threads.map_or(host.processors, NonZeroUsize::get);
    let usual = Options::usual(threads);
    let measure = ResourceLimits::of(host.memory);
    let options = Options { memory: measure.memory.div_ceil(2).min(usual.memory), resources: measure, ..usual };
    listen(host);
    let bar = ProgressBar::new(glyphs(host));
    let project = loaded.project();
    let checked = data_check::check(host, &project, &arguments.stage, &options, &bar);
    bar.clear();
    let checked = checked.map_err(failure)?;
    if let Some(file) = &page_file {
        let pictures = checked.pictures(host, &loaded.store.objects, &options, &bar);
        bar.clear();
        let pictures = pictures.map_err(|error| failure(error.into()))?;
        let html = page(&checked.check, &loaded.file, &pictures);
        disk::write_lightly(file, html.as_bytes()).map_err(|error| Failure::unwritten(&host.shown(file), &error))?;
    }
    let check = &checked.check;
    if arguments.json {
        out::say(&format!("{:#}\n", json::json(check, &loaded.file)));
    } else {
        let page = page_file.as_deref().map(|file| host.shown(file).to_string());
        out::say(&text::text(check, page.as_deref()));
    }
    Ok(if check.count(FindingLevel::Error) > 0 { Exit::Differs } else { Exit::Done })
}

/// The failure if nothing can be checked.
fn failure(error: DataCheckError) -> Failure {
    let text = error.to_string();
    match error {
        DataCheckError::Plan(error) => error.into(),
        DataCheckError::OtherOutput { known, .. } => {
            let names = near::names(known.iter().map(String::as_str));
            let failure = Failure::user(text);
            if names.is_empty() { failure } else { failure.hint(format!("those that do: {names}")) }
        }
        DataCheckError::WithoutPhotographs(_) => {
            Failure::user(text).hint("add a source such as `folder` or `idrid` (`macula doc` lists all)")
        }
        DataCheckError::Stage(StageError::Stopped) => Failure {
            exit: Exit::Interrupted,
            hint: Some("nothing was kept; run it again to check all photographs".to_owned()),
            ..Failure::user("stopped")
        },
        DataCheckError::Stage(error) => error.into(),
    }
}
