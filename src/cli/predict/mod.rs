//! `macula predict`: scores new photographs with a pipeline's classifier or the average of several, using the stages `preprocess` and
//! `heat-map`. Nothing is stored: results go to the terminal and to `--out`.

mod bench;
mod said;
pub(in crate::cli) mod scorer;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::{Exit, Failure, PipelineArguments, amounts, load, provenance};
use crate::base::threads;
use crate::data::source_tree::stem;
use crate::lang::signature::Signature;
use crate::lang::signatures;
use crate::lang::value::Value;
use crate::learn::model::ModelInfo;
use crate::learn::model_inputs::control_warning;
use crate::learn::tta::Tta;
use crate::run::Host;
use crate::stage::Stop;
use crate::stages::heat_map::{HEAT_MAP, combined};
use crate::store::{Objects, StoreError, Tree};
use bench::Bench;
use scorer::Scorer;
use way::Way;

/// The arguments of `macula predict`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Stage that trained the classifier, or the `average` of several
    stage: String,
    /// Photographs: JPEG, PNG, TIFF or DICOM
    #[arg(required = true)]
    photographs: Vec<PathBuf>,
    /// Write each photograph's heat map into a subfolder of this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Distance between patches [default: half a patch]
    #[arg(long, value_name = "PX", value_parser = amounts::pixels)]
    stride: Option<NonZeroU16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Scores new photographs.
///
/// # Errors
/// A [`Failure`] if a classifier is unknown, its preprocessing cannot be reproduced, or a photograph cannot be read.
pub fn predict(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    let Scorer { name, run, members, tta, tuned } = Scorer::find(host, &loaded, &arguments.stage)?;
    let info = combined(members.iter().map(|member| member.info.clone()).collect())?;
    let way = Way::common(&loaded.pipeline, &members)?;
    let names = names(&arguments.photographs)?;
    let folder = tempfile::tempdir().map_err(StoreError::disk("create", Path::new("a temporary folder")))?;
    let bench = Bench::new(folder.path(), &loaded, info, &members, tuned.as_ref().map(|tuned| &tuned.tree))?;
    super::run::listen(host);
    let mut attempts: Vec<Attempt> = Vec::new();
    // What ended the whole; the photographs that were scored before are shown.
    let ended = watched(host, &bench.stop, || {
        for (name, file) in names.iter().zip(&arguments.photographs) {
            let set = of_photograph(bench.photograph(name, &host.folder.join(file)))?;
            let found = set.map(|set| OpenedPhotograph { set, embeddings: Vec::new() });
            attempts.push(Attempt { name, file, found, scored: None });
        }
        // Encoder by encoder: only one is in memory.
        for encoding in &way.encodings {
            let weights = bench.weights(host, &loaded, encoding)?;
            for attempt in &mut attempts {
                attempt.go_on(|opened| {
                    let embedding = bench.encode(encoding, &weights, &opened.set)?;
                    opened.embeddings.push(embedding);
                    Ok(None)
                })?;
            }
        }
        for attempt in &mut attempts {
            let (name, file) = (attempt.name, attempt.file.display().to_string());
            attempt.go_on(|OpenedPhotograph { set, embeddings }| {
                let tree = bench.map(set, heat_map(&way, arguments.stride, tta), &way, embeddings)?;
                if let Some(out) = &arguments.out {
                    write(&tree, &bench.objects, &host.folder.join(out).join(name))?;
                }
                said::Scored::read(name, &file, &tree, &bench.objects).map(Some)
            })?;
        }
        Ok(())
    })
    .err();
    let trained: Vec<&str> = members.iter().map(|member| member.stage.name.as_str()).collect();
    let provenance = provenance::of_models(host, &loaded, &trained);
    let (mut scored, mut failures): (Vec<said::Scored>, Vec<(&Path, Failure)>) = (Vec::new(), Vec::new());
    for Attempt { file, found, scored: map, .. } in attempts {
        if let Some(mut map) = map {
            map.seen = provenance.as_ref().ok().and_then(|known| provenance::purpose(known, &host.folder.join(file)));
            scored.push(map);
        }
        failures.extend(found.err().map(|failure| (file, failure)));
    }
    if scored.is_empty() {
        return failed(ended, failures);
    }
    let seen: Vec<_> = scored.iter().map(|one| (one.name.as_str(), one.seen)).collect();
    provenance::say(&name, provenance.as_ref().err(), &seen);
    let told = said::ScoreOrigin {
        file: &loaded.file,
        stage: &name,
        members: members.iter().map(|member| member.stage.base_name.as_str()).collect(),
        run: run.as_deref(),
        size: bench.info.size,
        classes: &bench.info.classes,
        tuned: tuned.as_ref().map(|tuned| (tuned.stage.as_str(), tuned.values.as_slice())),
        decision: bench.info.activation.decision(),
        tta,
        preprocess: way.preprocess.iter().map(|step| step.stage.base_name.as_str()).collect(),
        embeddings: said_embeddings(&way, &bench.info),
        note: control_warning(&bench.info).map(|warning| warning.text),
        provenance: provenance.as_ref().map_err(|failure| failure.text.as_str()),
        out: arguments.out.as_deref(),
        failed: failures.iter().map(|(file, failure)| (*file, failure)).collect(),
    };
    said::say(&told, &scored, arguments.json);
    failed(ended, failures)
}

/// A photograph on its way to scores.
struct Attempt<'a> {
    name: &'a str,
    file: &'a Path,
    /// What it is made of, or why it cannot be scored.
    found: Result<OpenedPhotograph, Failure>,
    scored: Option<said::Scored>,
}

/// A photograph in the temporary store.
struct OpenedPhotograph {
    set: Tree,
    /// Its embeddings, in the order of the encodings.
    embeddings: Vec<Tree>,
}

impl Attempt<'_> {
    /// Takes the next step, if nothing is wrong with the photograph so far.
    ///
    /// # Errors
    /// A failure that is not the photograph's own.
    fn go_on(
        &mut self,
        step: impl FnOnce(&mut OpenedPhotograph) -> Result<Option<said::Scored>, Failure>,
    ) -> Result<(), Failure> {
        let Ok(opened) = &mut self.found else { return Ok(()) };
        match of_photograph(step(opened))? {
            Ok(scored) => self.scored = scored,
            Err(failure) => self.found = Err(failure),
        }
        Ok(())
    }
}

/// The failure of a single photograph inside, which stops no others; any other failure outside.
fn of_photograph<T>(result: Result<T, Failure>) -> Result<Result<T, Failure>, Failure> {
    match result {
        Err(failure) if !matches!(failure.exit, Exit::StageFailed | Exit::User) => Err(failure),
        other => Ok(other),
    }
}

/// Prints why photographs were not scored, each reason once. The status is that of the gravest.
fn failed(ended: Option<Failure>, failures: Vec<(&Path, Failure)>) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let mut told: Vec<Failure> = Vec::new();
    for (_, failure) in failures {
        exit = exit.graver(failure.exit);
        if !told.contains(&failure) {
            failure.print();
            told.push(failure);
        }
    }
    ended.map_or(Ok(exit), Err)
}

/// What is printed about the embeddings that a classifier reads.
fn said_embeddings<'a>(way: &'a Way, info: &'a ModelInfo) -> Vec<said::SaidEmbeddings<'a>> {
    let of = |encoding: &'a way::InputEncoding| {
        let joined = info.embeddings.iter().find(|joined| joined.name == encoding.input)?;
        let (input, stage) = (&encoding.input, &encoding.encode.base_name);
        Some(said::SaidEmbeddings { input, stage, encoder: &joined.info.description })
    };
    way.encodings.iter().filter_map(of).collect()
}

/// Names of the photographs: file names without extension.
fn names(photographs: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut seen = BTreeSet::new();
    let name = |file: &PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = stem(&name).to_owned();
        if seen.insert(name.clone()) {
            return Ok(name);
        }
        Err(Failure::user(format!("two photographs are named `{name}`"))
            .hint("score them one at a time, or rename one"))
    };
    photographs.iter().map(name).collect()
}

/// Runs `work` while another thread waits for Ctrl-C to set the stop flag.
fn watched<T>(host: &Host, stop: &Stop, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Where the system gives no thread for that, Ctrl-C is heard at the end.
        let _ = threads::spawn(scope, || {
            while !done.load(Ordering::SeqCst) {
                if host.interrupted() {
                    stop.raise();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let result = work();
        done.store(true, Ordering::SeqCst);
        result
    })
}

/// Parameters of `heat-map`: defaults, the pipeline's rule for black patches, and its test-time augmentation.
fn heat_map(way: &Way, stride: Option<NonZeroU16>, tta: Tta) -> BTreeMap<String, Value> {
    let signature = signatures().iter().find(|signature| signature.name == HEAT_MAP.name);
    let mut params = signature.map(Signature::defaults).unwrap_or_default();
    let stride = stride.map(|stride| ("stride".to_owned(), Value::Int(i64::from(stride.get()))));
    let rule = |name: &&str| Some((format!("black.{name}"), way.black?.value(name)?.clone()));
    params.extend(stride.into_iter().chain(["below", "share"].iter().filter_map(rule)));
    params.insert("tta".to_owned(), Value::Text(tta.name().to_owned()));
    let inputs = way.encodings.iter().map(|encoding| Value::Text(encoding.input.clone()));
    params.insert("as".to_owned(), Value::List(inputs.collect()));
    params
}

/// Writes the files of a result to a folder.
fn write(tree: &Tree, objects: &Objects, folder: &Path) -> Result<(), Failure> {
    for (name, entry) in &tree.entries {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(StoreError::disk("create", parent))?;
        crate::base::disk::write_lightly(&path, &objects.read(entry)?).map_err(StoreError::disk("write", &path))?;
    }
    Ok(())
}
