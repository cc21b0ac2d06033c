//! Writes packs. What may be inside is decided by the types of outputs; then every byte that is written is searched for names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::super::lockfile::{self, Lockfile};
use super::super::{Host, Project, time, with_engine};
use super::PackError;
use super::archive::{ArchiveWriter, folded, unsafe_name};
use super::contents::{CONTENTS, FORMAT, OUTPUTS, PackContents, PackedFile, PackedPipeline, PackedResult, Withheld};
use super::placement::PackPlacement;
use super::privacy::Forbidden;
use super::source_files::files_of;
use super::summary::PackSummary;
use super::{card, research_object};
use crate::base::{Digest, regular};
use crate::data::photographs::file_and_patient;
use crate::lang::port_types::{PRETRAINED, may_show_photographs, only_names_photographs};
use crate::plan::{Decision, Engine, StageId, StageResult, StageResults};
use crate::stage::Work;
use crate::store::{Accept, Entry, Objects, Record, RunRecord, Tree};

/// What a pack is to contain.
#[derive(Clone, Debug, Default)]
pub struct PackOptions {
    /// How the pipeline was named: file (relative to the working folder), and the flags that select and set.
    pub file: PathBuf,
    /// `--pipeline`.
    pub pipeline: Option<String>,
    /// `--sweep`.
    pub sweep: Option<String>,
    /// `--set`.
    pub set: Vec<String>,
    /// The run whose results are meant; [`None`] for the current ones.
    pub run: Option<String>,
    /// Whether photographs, and results with pieces of them, are wanted.
    pub photographs: bool,
    /// Whether names may be inside.
    pub names: bool,
}

/// A pack that was written.
#[derive(Clone, Debug)]
pub struct WrittenPack {
    /// Its description.
    pub contents: PackContents,
    /// Its size, bytes.
    pub bytes: u64,
    /// Number of photographs' and other data files in it.
    pub data: usize,
}

/// Files of withheld results that hold metrics only.
const METRICS: [&str; 2] = ["scores.json", "spread.json"];

/// Largest file of pretrained weights that is packed without its photographs.
const LARGEST_WEIGHTS: u64 = 256 << 20;

/// Where the bytes of an entry come from.
enum PackedContent {
    Text(Vec<u8>),
    Outside(PathBuf, Entry),
    Object(Entry),
}

impl PackedContent {
    fn entry(&self) -> Entry {
        match self {
            Self::Text(bytes) => Entry { digest: Digest::of(bytes), size: bytes.len() as u64 },
            Self::Outside(_, entry) | Self::Object(entry) => *entry,
        }
    }
}

/// The files of a pack that is being made.
#[derive(Default)]
struct PackFiles {
    all: BTreeMap<String, PackedContent>,
    /// Paths where case is ignored.
    taken: BTreeSet<String>,
    /// Where bytes are, by digest.
    by_digest: BTreeMap<Digest, String>,
}

impl PackFiles {
    fn add(&mut self, path: String, content: PackedContent) -> Result<(), PackError> {
        if let Some(why) = unsafe_name(&path) {
            let shown = crate::base::shown::line(&path).into_owned();
            return Err(PackError::user(format!("`{shown}` cannot be packed: its name {why}"), "rename it"));
        }
        if !self.taken.insert(folded(&path)) {
            let text = format!("`{path}` cannot be packed: another file has this name, or differs only in case");
            return Err(PackError::user(text, "rename it"));
        }
        self.by_digest.entry(content.entry().digest).or_insert_with(|| path.clone());
        self.all.insert(path, content);
        Ok(())
    }

    /// Adds a file of a result, unless its bytes are inside already; returns where they are.
    /// Not unless another stage has them: the files of one have the names that people expect.
    fn output(&mut self, place: &str, objects: &Objects, entry: Entry) -> Result<PackedFile, PackError> {
        let stage = |path: &str| path.split('/').take(2).collect::<Vec<_>>().join("/");
        let known = self.by_digest.get(&entry.digest).filter(|path| stage(path) != stage(&safe(place))).cloned();
        let path = if let Some(path) = known {
            path
        } else {
            let path = self.free(&safe(place));
            let content = match objects.outside_path(&entry).filter(|_| !objects.stores(&entry)) {
                Some(file) => PackedContent::Outside(file, entry),
                None => PackedContent::Object(entry),
            };
            self.add(path.clone(), content)?;
            path
        };
        Ok(PackedFile { path, entry })
    }

    fn free(&self, path: &str) -> String {
        let (stem, ending) = match path.rsplit_once('.') {
            Some((stem, ending)) if !ending.contains('/') => (stem, format!(".{ending}")),
            _ => (path, String::new()),
        };
        let candidates = (1..).map(|number| match number {
            1 => path.to_owned(),
            number => format!("{stem}~{number}{ending}"),
        });
        let mut free = candidates.filter(|path| !self.taken.contains(&folded(path)));
        free.next().unwrap_or_default()
    }
}

/// A path of letters, digits and a few signs, for files whose names the description holds.
fn safe(path: &str) -> String {
    let part = |part: &str| {
        let letter = |c: char| if c.is_alphanumeric() || "-_.=+@~ ".contains(c) { c } else { '_' };
        let mut part: String = part.chars().map(letter).collect();
        part.truncate(part.floor_char_boundary(200));
        if part.trim_end_matches(['.', ' ']).len() == part.len() && !part.is_empty() {
            part
        } else {
            format!("{part}_")
        }
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Writes a pack of a pipeline's results into an empty file. `on_progress` gets the bytes written so far, and how many there will be,
/// and returns whether to continue.
///
/// # Errors
/// [`PackError`]; then the file is incomplete and has to be deleted.
pub fn pack(
    host: &Host,
    project: &Project,
    options: &PackOptions,
    file: File,
    on_progress: &dyn Fn(u64, u64) -> bool,
) -> Result<WrittenPack, PackError> {
    with_engine(host, project, &[], Accept::AnyTarget, |engine, wanted| {
        let decisions = engine.plan(wanted);
        project.store.files.save();
        let known = known(engine, &decisions)?;
        if let Some(run) = &options.run {
            is_of_run(engine, &known, project, run)?;
        }
        Packing { host, project, options, engine, known }.write(file, on_progress)
    })?
}

/// The results of all stages.
fn known(engine: &Engine, decisions: &BTreeMap<StageId, Decision>) -> Result<StageResults, PackError> {
    let mut known = StageResults::new();
    for id in engine.graph.order() {
        match decisions.get(id) {
            Some(Decision::Reuse(_, reused)) if reused.remote_hit.is_some() => {
                let text = format!("the result of `{}` is only on a remote", engine.stage(*id).name);
                return Err(PackError::user(text, "download it with `macula pull`"));
            }
            Some(Decision::Source(result) | Decision::Reuse(result, _)) => {
                known.insert(*id, std::sync::Arc::clone(result));
            }
            Some(Decision::Failed(error)) => {
                let hint = "a pack is made where the data is; they need not be inside";
                return Err(PackError::user(error.to_string(), hint));
            }
            _ => return Err(PackError::NoResult { stage: engine.stage(*id).name.clone() }),
        }
    }
    Ok(known)
}

/// Whether the current results are those of a run.
fn is_of_run(engine: &Engine, known: &StageResults, project: &Project, run: &str) -> Result<(), PackError> {
    let none = || PackError::user(format!("no record of run `{run}`"), "");
    let record = project.store.runs.record(run).ok_or_else(none)?;
    for (id, result) in known {
        let stage = &engine.stage(*id).name;
        let of_run = record.stages.get(stage);
        let same = of_run.is_some_and(|of_run| {
            of_run
                .outputs
                .iter()
                .all(|(port, digest)| result.outputs.get(port).is_some_and(|output| output.digest() == *digest))
                && (of_run.key.is_none() || of_run.key == result.key)
        });
        if !same {
            let text = format!("`{stage}` is not as in run {run}: its pipeline or its data changed since");
            return Err(PackError::user(
                text,
                "restore the pipeline file of that run, or pack the current results without `--run`",
            ));
        }
    }
    Ok(())
}

struct Packing<'a> {
    host: &'a Host,
    project: &'a Project<'a>,
    options: &'a PackOptions,
    engine: &'a Engine<'a>,
    known: StageResults,
}

impl Packing<'_> {
    fn write(&self, file: File, on_progress: &dyn Fn(u64, u64) -> bool) -> Result<WrittenPack, PackError> {
        let options = self.options;
        let placement =
            PackPlacement::new(&self.host.folder, &self.project.folder, self.project.pipeline, self.project.sources)?;
        let mut files = PackFiles::default();
        for (path, text) in placement.texts(&self.host.folder, self.project.sources)? {
            files.add(path, PackedContent::Text(text.into_bytes()))?;
        }
        let pipeline = self.pipeline(&placement)?;
        let lock = self.lock(&pipeline, &mut files)?;
        let (data, absent) = self.data(&placement, &mut files)?;
        let forbidden = self.forbidden()?;
        let (results, withheld) = self.results(&mut files, &forbidden)?;
        let newest = results.iter().map(|result| &result.record.made).max_by_key(|made| made.began);
        let run = newest.and_then(|made| self.project.store.runs.record(&made.run));
        let mut contents = PackContents {
            format: FORMAT,
            macula: env!("CARGO_PKG_VERSION").to_owned(),
            pipeline,
            lock,
            photographs: options.photographs,
            names: options.photographs || options.names,
            run: run.as_ref().map(|run| run.id.clone()),
            environment: run.as_ref().map(|run| run.machine.clone()).unwrap_or_default(),
            files: BTreeMap::new(),
            results,
            withheld,
            data: absent,
        };
        self.describe(&mut contents, run.as_ref(), &mut files)?;
        contents.files = files.all.iter().map(|(path, content)| (path.clone(), content.entry())).collect();
        let mut text = serde_json::to_vec_pretty(&contents).map_err(|error| PackError::user(error.to_string(), ""))?;
        text.push(b'\n');
        files.add(CONTENTS.to_owned(), PackedContent::Text(text))?;
        let bytes = write_all(&files, file, &self.project.store.objects, &forbidden, on_progress)?;
        Ok(WrittenPack { contents, bytes, data })
    }

    fn pipeline(&self, placement: &PackPlacement) -> Result<PackedPipeline, PackError> {
        let options = self.options;
        let file = placement.of(&self.host.folder.join(&options.file));
        let outside = || PackError::user("the pipeline file is not below its project folder", "");
        Ok(PackedPipeline {
            name: self.project.pipeline.name.clone(),
            file: file.ok_or_else(outside)?,
            project: placement.project(),
            pipeline: options.pipeline.clone(),
            sweep: options.sweep.clone(),
            set: options.set.clone(),
        })
    }

    /// Adds the lock file; its digests of files' names could be guessed.
    fn lock(&self, pipeline: &PackedPipeline, files: &mut PackFiles) -> Result<String, PackError> {
        let mut lock = Lockfile::of(self.project, &self.known);
        if !self.options.photographs && !self.options.names {
            lock.stages.iter_mut().for_each(|stage| stage.files.clear());
        }
        let text = lockfile::write(&lock).map_err(|error| PackError::user(error.text, ""))?;
        let folder = Path::new(&pipeline.file).parent().unwrap_or(Path::new(""));
        let path = folder.join(format!("{}.lock.kdl", pipeline.name)).display().to_string();
        files.add(path.clone(), PackedContent::Text(text.into_bytes()))?;
        Ok(path)
    }

    /// Adds the files of sources that may be inside: their number, and where the others are expected.
    fn data(
        &self,
        placement: &PackPlacement,
        files: &mut PackFiles,
    ) -> Result<(usize, BTreeMap<String, BTreeSet<String>>), PackError> {
        let (mut count, mut absent) = (0, BTreeMap::<String, BTreeSet<String>>::new());
        for id in self.known.keys() {
            let (stage, implementation) = (self.engine.stage(*id), self.engine.implementation(*id));
            let found = files_of(stage, implementation, self.engine.files)?;
            let size: u64 = found.files.values().map(|entry| entry.size).sum();
            let is_weights = stage.outputs.iter().all(|output| output.ty == PRETRAINED) && size <= LARGEST_WEIGHTS;
            if !(self.options.photographs || is_weights || self.is_code(*id)) {
                let paths = stage.params.values().filter_map(|param| match &param.value {
                    crate::lang::value::Value::Path(path) => Some(placement.named(path)),
                    _ => None,
                });
                let paths: BTreeSet<String> = paths.collect();
                if !paths.is_empty() {
                    absent.insert(stage.name.clone(), paths);
                }
                continue;
            }
            for (path, entry) in found.files {
                if found.programs.contains(&path) {
                    continue;
                }
                let place = placement.of(&path).ok_or_else(|| {
                    let text =
                        format!("`{}` reads `{}`, outside of the paths that it names", stage.name, path.display());
                    PackError::user(text, "move the file below the project's folder")
                })?;
                if !files.all.contains_key(&place) {
                    files.add(place, PackedContent::Outside(path, entry))?;
                    count += 1;
                }
            }
        }
        Ok((count, absent))
    }

    /// Whether a source is the code of a command.
    fn is_code(&self, id: StageId) -> bool {
        let name = &self.engine.stage(id).name;
        self.engine.pipeline.stages.iter().enumerate().any(|(at, stage)| {
            let Work::Command { code, .. } = self.engine.implementation(StageId(at)).work else { return false };
            let is_code = |port: &str| code.pinned.contains(&port) || code.program == port;
            stage.inputs.iter().any(|input| is_code(&input.port) && input.from.iter().any(|from| from.stage == *name))
        })
    }

    /// The words that must not be inside.
    fn forbidden(&self) -> Result<Forbidden, PackError> {
        let mut forbidden = Forbidden::default();
        if self.options.names {
            return Ok(forbidden);
        }
        let host = self.host;
        for name in ["USER", "LOGNAME", "HOSTNAME"] {
            host.variable(name).into_iter().for_each(|name| forbidden.add_identity(name));
        }
        if let Some(home) = host.variable("HOME") {
            forbidden.add_path(home);
        }
        forbidden.add_path(&self.project.folder.display().to_string());
        forbidden.add_path(&host.folder.display().to_string());
        if self.options.photographs {
            return Ok(forbidden);
        }
        let objects = &self.project.store.objects;
        for (id, result) in &self.known {
            for output in self.engine.stage(*id).outputs.iter().filter(|output| output.ty == "photographs") {
                let Some(made) = result.outputs.get(&output.port) else { continue };
                let tree = made.tree(objects)?;
                for name in photographs(tree) {
                    forbidden.add_name(name);
                    if let Some((_, Some(patient))) = file_and_patient(tree, name, objects)? {
                        forbidden.add_name(&patient);
                    }
                }
            }
            let files = files_of(self.engine.stage(*id), self.engine.implementation(*id), self.engine.files)?;
            if !files.files.is_empty() && self.shows_photographs(*id) && !self.is_code(*id) {
                for file in files.files.keys() {
                    file.file_stem()
                        .and_then(|stem| stem.to_str())
                        .into_iter()
                        .for_each(|stem| forbidden.add_name(stem));
                }
            }
        }
        Ok(forbidden)
    }

    fn shows_photographs(&self, id: StageId) -> bool {
        self.engine.stage(id).outputs.iter().any(|output| may_show_photographs(&output.ty))
    }

    /// Adds the files of results that may be inside, and says which may not.
    fn results(
        &self,
        files: &mut PackFiles,
        forbidden: &Forbidden,
    ) -> Result<(Vec<PackedResult>, Vec<Withheld>), PackError> {
        let (mut results, mut withheld) = (Vec::new(), Vec::new());
        let store = self.project.store;
        for (id, known) in &self.known {
            let stage = self.engine.stage(*id);
            let Some(key) = known.key else { continue };
            if let Some(output) = stage.outputs.iter().find(|output| !self.may_be_inside(&output.ty)) {
                self.metrics(stage.name.as_str(), known, files, forbidden)?;
                let outputs = known.outputs.iter().map(|(port, made)| (port.clone(), made.digest())).collect();
                withheld.push(Withheld { stage: stage.name.clone(), ty: output.ty.clone(), outputs });
                continue;
            }
            let gone = || PackError::NoResult { stage: stage.name.clone() };
            let found = store.find(&key, &known.target, Accept::AnyTarget)?.map_err(|_| gone())?;
            let mut outputs = BTreeMap::new();
            for (port, made) in &found.outputs {
                let mut packed = BTreeMap::new();
                for (name, entry) in &made.tree(&store.objects)?.entries {
                    let place = if found.outputs.len() == 1 {
                        format!("{OUTPUTS}/{}/{name}", stage.name)
                    } else {
                        format!("{OUTPUTS}/{}/{port}/{name}", stage.name)
                    };
                    packed.insert(name.clone(), files.output(&place, &store.objects, *entry)?);
                }
                outputs.insert(port.clone(), packed);
            }
            let record = Record { recipe: None, ..found.record };
            results.push(PackedResult { stage: stage.name.clone(), record, outputs });
        }
        Ok((results, withheld))
    }

    fn may_be_inside(&self, ty: &str) -> bool {
        self.options.photographs || !may_show_photographs(ty) || self.options.names && only_names_photographs(ty)
    }

    /// Adds the metrics of a withheld result, if they name nothing.
    fn metrics(
        &self,
        stage: &str,
        known: &StageResult,
        files: &mut PackFiles,
        forbidden: &Forbidden,
    ) -> Result<(), PackError> {
        let objects = &self.project.store.objects;
        for made in known.outputs.values() {
            for name in METRICS {
                let Some(bytes) = objects.read_in(made.tree(objects)?, name)? else { continue };
                let mut search = forbidden.search();
                search.add(&bytes);
                if search.finish().is_none() {
                    let path = files.free(&safe(&format!("{OUTPUTS}/{stage}/{name}")));
                    files.add(path, PackedContent::Text(bytes.to_vec()))?;
                }
            }
        }
        Ok(())
    }

    /// Adds the documents that describe the pack for people and other programs.
    fn describe(
        &self,
        contents: &mut PackContents,
        run: Option<&RunRecord>,
        files: &mut PackFiles,
    ) -> Result<(), PackError> {
        let summary = PackSummary::of(self.project, self.engine, &self.known, contents, run)?;
        let card = card::text(&summary);
        files.add("README.md".to_owned(), PackedContent::Text(card.into_bytes()))?;
        if let Some(text) = summary.croissant()? {
            files.add("croissant.json".to_owned(), PackedContent::Text(text.into_bytes()))?;
        }
        let sizes = files.all.iter().map(|(path, content)| (path.clone(), content.entry())).collect();
        let text = research_object::text(&summary, &sizes, &time::utc);
        files.add(research_object::FILE.to_owned(), PackedContent::Text(text.into_bytes()))
    }
}

/// The names of the photographs in a set.
fn photographs(tree: &Tree) -> BTreeSet<&str> {
    let named = |path: &'_ str| path.rsplit_once('/').is_some_and(|(_, file)| file.starts_with("photograph."));
    let paths = tree.entries.keys().filter(|path| named(path));
    paths.filter_map(|path| path.rsplit_once('/').map(|(name, _)| name)).collect()
}

fn write_all(
    files: &PackFiles,
    file: File,
    objects: &Objects,
    forbidden: &Forbidden,
    on_progress: &dyn Fn(u64, u64) -> bool,
) -> Result<u64, PackError> {
    let all: u64 = files.all.values().map(|content| content.entry().size).sum();
    let mut archive = ArchiveWriter::new(file);
    let mut written = 0;
    for (path, content) in &files.all {
        let entry = content.entry();
        let (mut digest, mut search) = (blake3::Hasher::new(), forbidden.search());
        let mut object;
        let mut outside;
        let mut text;
        let from: &mut dyn Read = match content {
            PackedContent::Text(bytes) => {
                text = bytes.as_slice();
                &mut text
            }
            PackedContent::Object(entry) => {
                object = std::io::Cursor::new(objects.read(entry)?);
                &mut object
            }
            PackedContent::Outside(path, _) => {
                outside = regular::open(path).map_err(PackError::io(format!("cannot read `{}`", path.display())))?;
                &mut outside
            }
        };
        let mut stopped = false;
        archive
            .add(path, entry.size, from, &mut |piece| {
                digest.update(piece);
                search.add(piece);
                written += piece.len() as u64;
                stopped |= !on_progress(written, all);
            })
            .map_err(PackError::io(format!("cannot pack `{path}`")))?;
        if stopped {
            return Err(PackError::Stopped);
        }
        if Digest::from_bytes(*digest.finalize().as_bytes()) != entry.digest {
            return Err(PackError::user(format!("`{path}` changed while it was packed"), "pack again"));
        }
        let found = forbidden.first_in(path).or_else(|| search.finish());
        if let Some(word) = found {
            let text = format!(
                "`{path}` would contain `{word}`: the name of a photograph, a patient, a user, a machine or a folder"
            );
            return Err(PackError::user(
                text,
                "remove it from the pipeline's files, or allow names in the pack with `--names`",
            ));
        }
    }
    let file = archive.finish().map_err(PackError::io("cannot write the pack"))?;
    Ok(file.metadata().map_err(PackError::io("cannot write the pack"))?.len())
}
