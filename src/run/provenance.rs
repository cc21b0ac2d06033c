//! Photographs that a model was fitted on or chosen by, as their sources found them: by the graph of its pipeline, and for weights that
//! this store made, by the records of their training. Knows no stage.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use crate::base::{Digest, sync};
use crate::data::patches::photographs;
use crate::data::photographs::file_and_patient;
use crate::data::provenance::{DataUse, Provenance};
use crate::lang::port_types::{CARRIERS, PRETRAINED};
use crate::lang::signature::{InPort, Param};
use crate::lang::spec::StageSpec;
use crate::lang::value::Value;
use crate::plan::training_data::signature;
use crate::plan::{
    Engine, StageId, StageResult, StageResults, TrainingData, photograph_sources, recipe, training_data,
};
use crate::stage::StageError;
use crate::store::{Entry, RecipeInput, Record, Store, StoreError, Tree};

/// A photograph as its source found it, before any preprocessing.
#[derive(Clone, Debug)]
pub struct Original {
    /// Its name.
    pub name: String,
    /// Digest of its file.
    pub file: Digest,
    /// Its patient, if known.
    pub patient: Option<String>,
    /// Its source.
    pub source: Arc<SourceIdentity>,
    /// The stage that gave it, if it is one of the pipeline.
    pub stage: Option<StageId>,
}

/// What tells whether two sources are parts of one data set, so that their patients' names mean the same people.
#[derive(Debug)]
pub struct SourceIdentity {
    /// Digest of its tree.
    pub tree: Digest,
    /// Digests of the files of its photographs.
    files: BTreeSet<Digest>,
    /// The paths that it reads.
    paths: BTreeSet<String>,
}

impl SourceIdentity {
    /// Whether a patient's name means the same person in both: they share a photograph or a path.
    #[must_use]
    pub fn is_of_same_data(&self, other: &Self) -> bool {
        self.tree == other.tree || !self.files.is_disjoint(&other.files) || !self.paths.is_disjoint(&other.paths)
    }
}

/// The photographs of a set of patches.
#[derive(Clone, Debug)]
pub struct UsedPhotographs {
    /// The set for messages: `folds.train`, in backticks, with its pipeline if that is another one.
    pub set: String,
    /// Its photographs.
    pub photographs: Vec<Original>,
    /// Whether a command read it, which may have fitted on it, or chosen by it.
    pub commanded: bool,
}

/// Everything that the training of a model read.
#[derive(Clone, Debug, Default)]
pub struct SeenPhotographs {
    /// Training sets.
    pub fitted: Vec<UsedPhotographs>,
    /// Sets that chose an epoch or thresholds.
    pub chosen: Vec<UsedPhotographs>,
    /// Digests of weights whose training is not recorded here.
    pub weights: BTreeSet<Digest>,
}

impl SeenPhotographs {
    /// The digests alone.
    #[must_use]
    pub fn digests(&self) -> Provenance {
        let mut provenance = Provenance { weights: self.weights.clone(), ..Provenance::default() };
        for (purpose, sets) in [(DataUse::Fitted, &self.fitted), (DataUse::Chosen, &self.chosen)] {
            for original in sets.iter().flat_map(|set| &set.photographs) {
                provenance.add(purpose, original.file, original.patient.as_deref());
            }
        }
        provenance
    }
}

/// Why it is not known what a model has seen.
#[derive(Debug)]
pub enum UnknownProvenance {
    /// A stage on the way has no result in the store.
    NoResult(StageId),
    /// An error of the store.
    Stage(StageError),
}

impl From<StageError> for UnknownProvenance {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

impl From<StoreError> for UnknownProvenance {
    fn from(error: StoreError) -> Self {
        Self::Stage(error.into())
    }
}

/// What was read once: sources and photographs by digest, and the records of the store.
#[derive(Debug, Default)]
pub struct ProvenanceCache {
    sources: Mutex<BTreeMap<SourceKey, Arc<SourceIdentity>>>,
    originals: Mutex<BTreeMap<(Digest, String), Option<FileAndPatient>>>,
    records: OnceLock<RecordIndex>,
}

/// Digest of a source's tree, and the paths that it reads: one data set may lie in two folders.
type SourceKey = (Digest, BTreeSet<String>);

/// Digest of a photograph's file, and its patient.
type FileAndPatient = (Digest, Option<String>);

/// The records of a store, by the trees that they made.
#[derive(Debug)]
struct RecordIndex {
    all: Vec<Record>,
    by_tree: BTreeMap<Digest, Vec<usize>>,
}

/// Lookup of what models have seen, from the results of a pipeline.
#[derive(Clone, Copy)]
pub struct ProvenanceLookup<'a> {
    /// The pipeline, its graph and the store.
    pub engine: &'a Engine<'a>,
    /// Results of its stages.
    pub known: &'a StageResults,
    /// What was read before.
    pub cache: &'a ProvenanceCache,
}

/// The tree of a source.
struct SourceTree<'t> {
    stage: Option<StageId>,
    identity: Arc<SourceIdentity>,
    tree: Cow<'t, Tree>,
}

impl<'a> ProvenanceLookup<'a> {
    /// What everything behind a stage has seen, its own training or selection included.
    ///
    /// # Errors
    /// [`UnknownProvenance`].
    pub fn seen(&self, stage: StageId) -> Result<SeenPhotographs, UnknownProvenance> {
        let data = training_data(self.engine.pipeline, &self.engine.graph, stage);
        let mut seen = SeenPhotographs::default();
        for &(stage, out) in &data.fitted {
            let commanded = data.commanded.contains(&(stage, out));
            seen.fitted.push(UsedPhotographs { commanded, ..self.used(stage, out)? });
        }
        for &(stage, out) in &data.chosen {
            seen.chosen.push(self.used(stage, out)?);
        }
        let mut reached = BTreeSet::new();
        for digest in self.weights(&data)? {
            self.of_weights(digest, &mut seen, &mut reached)?;
        }
        Ok(seen)
    }

    /// Whether weights among these were made by a training that the store may have a record of.
    ///
    /// # Errors
    /// [`UnknownProvenance`].
    pub fn has_own_weights(&self, data: &TrainingData) -> Result<bool, UnknownProvenance> {
        Ok(self.weights(data)?.iter().any(|entry| self.store().objects.stores(entry)))
    }

    /// The photographs of an output of patches.
    ///
    /// # Errors
    /// [`UnknownProvenance`].
    pub fn used(&self, stage: StageId, out: &str) -> Result<UsedPhotographs, UnknownProvenance> {
        let mut sources = Vec::new();
        for source in photograph_sources(self.engine.pipeline, &self.engine.graph, stage) {
            let paths = source_paths(self.engine.stage(source));
            for artifact in self.result(source)?.outputs.values() {
                let tree = artifact.tree(&self.store().objects)?;
                let identity = self.identity(artifact.digest(), tree, &paths);
                sources.push(SourceTree { stage: Some(source), identity, tree: Cow::Borrowed(tree) });
            }
        }
        let spec = self.engine.stage(stage);
        let set = if spec.outputs.len() == 1 { spec.base_name.clone() } else { format!("{}.{out}", spec.base_name) };
        let artifact = self.result(stage)?.outputs.get(out).ok_or(UnknownProvenance::NoResult(stage))?;
        self.originals(format!("`{set}`"), artifact.tree(&self.store().objects)?, &sources)
    }

    fn originals(
        &self,
        set: String,
        patches: &Tree,
        sources: &[SourceTree],
    ) -> Result<UsedPhotographs, UnknownProvenance> {
        let mut found = Vec::new();
        for name in photographs(patches) {
            for source in sources {
                if let Some(original) = self.original(source, name)? {
                    found.push(original);
                    break;
                }
            }
        }
        Ok(UsedPhotographs { set, photographs: found, commanded: false })
    }

    fn original(&self, source: &SourceTree, name: &str) -> Result<Option<Original>, UnknownProvenance> {
        let key = (source.identity.tree, name.to_owned());
        let known = sync::lock(&self.cache.originals).get(&key).cloned();
        let found = if let Some(known) = known {
            known
        } else {
            let found = file_and_patient(&source.tree, name, &self.store().objects)?;
            sync::lock(&self.cache.originals).insert(key, found.clone());
            found
        };
        Ok(found.map(|(file, patient)| Original {
            name: name.to_owned(),
            file,
            patient,
            source: Arc::clone(&source.identity),
            stage: source.stage,
        }))
    }

    fn identity(&self, digest: Digest, tree: &Tree, paths: &BTreeSet<String>) -> Arc<SourceIdentity> {
        let mut known = sync::lock(&self.cache.sources);
        let identity = known.entry((digest, paths.clone())).or_insert_with(|| {
            let is_photograph =
                |name: &str| name.rsplit_once('/').is_some_and(|(_, file)| file.starts_with("photograph."));
            let files = tree.entries.iter().filter(|(name, _)| is_photograph(name)).map(|(_, entry)| entry.digest);
            Arc::new(SourceIdentity { tree: digest, files: files.collect(), paths: paths.clone() })
        });
        Arc::clone(identity)
    }

    /// Files of the sources of weights.
    fn weights(&self, data: &TrainingData) -> Result<BTreeSet<Entry>, UnknownProvenance> {
        let mut found = BTreeSet::new();
        for &source in &data.weights {
            let result = self.result(source)?;
            // Scripts and other files of a command can be many.
            let weights = self.engine.stage(source).outputs.iter().filter(|output| output.ty == PRETRAINED);
            for artifact in weights.filter_map(|output| result.outputs.get(&output.port)) {
                found.extend(artifact.tree(&self.store().objects)?.entries.values().copied());
            }
        }
        Ok(found)
    }

    fn result(&self, id: StageId) -> Result<&'a StageResult, UnknownProvenance> {
        self.known.get(&id).map(AsRef::as_ref).ok_or(UnknownProvenance::NoResult(id))
    }

    fn store(&self) -> &'a Store {
        self.engine.store
    }
}

/// By the records of the store.
impl ProvenanceLookup<'_> {
    /// Adds what the training that made a file of weights has seen, in whichever pipeline.
    fn of_weights(
        &self,
        file: Entry,
        seen: &mut SeenPhotographs,
        reached: &mut BTreeSet<Digest>,
    ) -> Result<(), UnknownProvenance> {
        let mut recorded = false;
        // Weights from elsewhere are no object of the store, so no record has to be read for them.
        if self.store().objects.stores(&file) {
            for record in &self.records()?.all {
                if self.gives_model(record, &file)? {
                    recorded |= record.recipe.is_some();
                    self.of_record(record, seen, reached)?;
                }
            }
        }
        if !recorded {
            seen.weights.insert(file.digest);
        }
        Ok(())
    }

    /// Whether a record's result is a model or pretrained weights with this file.
    fn gives_model(&self, record: &Record, file: &Entry) -> Result<bool, UnknownProvenance> {
        let Some(pipeline) = recipe::pipeline(record) else { return Ok(false) };
        // Weights of a stage without inputs come from elsewhere.
        let has_inputs = record.recipe.as_ref().is_some_and(|recipe| !recipe.inputs.is_empty());
        let trains = |ty: &str| ty == "model" || ty == PRETRAINED && has_inputs;
        let models = pipeline.stages[0].outputs.iter().filter(|output| trains(&output.ty));
        for stored in models.filter_map(|output| record.outputs.get(&output.port)) {
            match self.store().objects.read_tree(&stored.object) {
                Ok(tree) if tree.entries.values().any(|entry| entry == file) => return Ok(true),
                Ok(_) | Err(StoreError::Missing { .. } | StoreError::Damaged { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Adds what the computation of a record has seen, and everything behind it.
    fn of_record(
        &self,
        record: &Record,
        seen: &mut SeenPhotographs,
        reached: &mut BTreeSet<Digest>,
    ) -> Result<(), UnknownProvenance> {
        let (Some(recipe), Some(pipeline)) = (&record.recipe, recipe::pipeline(record)) else { return Ok(()) };
        if !reached.insert(record.key) {
            return Ok(());
        }
        let stage = &pipeline.stages[0];
        let reads_embeddings = stage.network().is_some_and(|network| !network.embeddings().is_empty());
        for input in &recipe.inputs {
            let Some(port) = signature(stage).and_then(|signature| signature.input(&input.port)) else { continue };
            if !carries(port) {
                self.behind(record, input, port, seen, reached)?;
                continue;
            }
            let purpose = match port {
                port if port.fits() => DataUse::Fitted,
                port if port.chooses() => DataUse::Chosen,
                _ => continue,
            };
            let set = format!("`{}` of pipeline `{}`", input.name, record.made.pipeline);
            let patches = self.store().objects.read_tree(&input.tree.object)?;
            let mut sources = Vec::new();
            for (record, input) in self.above(record, input)? {
                if carries_input(record, input) == Some(false) {
                    let port = recipe_port(record, input);
                    if let Some(port) = port.filter(|_| reads_embeddings) {
                        self.behind(record, input, &port, seen, reached)?;
                    }
                    continue;
                }
                let tree = self.store().objects.read_tree(&input.tree.object)?;
                let identity = self.identity(input.tree.tree, &tree, &BTreeSet::new());
                sources.push(SourceTree { stage: None, identity, tree: Cow::Owned(tree) });
            }
            let used = self.originals(set, &patches, &sources)?;
            match purpose {
                DataUse::Fitted => seen.fitted.push(used),
                DataUse::Chosen => seen.chosen.push(used),
            }
        }
        Ok(())
    }

    /// Adds what is behind an input that is neither photographs nor patches: a model, embeddings, weights.
    fn behind(
        &self,
        record: &Record,
        input: &RecipeInput,
        port: &InPort,
        seen: &mut SeenPhotographs,
        reached: &mut BTreeSet<Digest>,
    ) -> Result<(), UnknownProvenance> {
        // The models of an evaluation were judged there.
        if port.types.iter().all(|ty| ty == "scores") {
            return Ok(());
        }
        let makers = self.makers(record, input)?;
        if makers.is_empty() && port.types.iter().any(|ty| ty == PRETRAINED) {
            for entry in self.store().objects.read_tree(&input.tree.object)?.entries.values() {
                self.of_weights(*entry, seen, reached)?;
            }
        }
        makers.into_iter().try_for_each(|maker| self.of_record(maker, seen, reached))
    }

    /// All inputs on the way up from patches through photographs and patches: those that no record made, and those of other types.
    fn above<'r>(
        &'r self,
        record: &'r Record,
        input: &'r RecipeInput,
    ) -> Result<Vec<(&'r Record, &'r RecipeInput)>, UnknownProvenance> {
        let (mut found, mut reached, mut todo) = (Vec::new(), BTreeSet::new(), vec![(record, input)]);
        while let Some((record, input)) = todo.pop() {
            if !reached.insert((record.key, input.port.clone(), input.tree.tree)) {
                continue;
            }
            // What a record without inputs made is a source like files.
            let makers = self.makers(record, input)?.into_iter();
            let makers: Vec<_> =
                makers.filter(|maker| maker.recipe.iter().any(|recipe| !recipe.inputs.is_empty())).collect();
            if makers.is_empty() || carries_input(record, input) == Some(false) {
                found.push((record, input));
                continue;
            }
            for maker in makers {
                let inputs = maker.recipe.iter().flat_map(|recipe| &recipe.inputs);
                todo.extend(inputs.filter(|input| is_content(maker, input)).map(|input| (maker, input)));
            }
        }
        Ok(found)
    }

    /// The records that made an input. A stage that reads only a part of it has recorded that part.
    fn makers(&self, record: &Record, input: &RecipeInput) -> Result<Vec<&Record>, UnknownProvenance> {
        let records = self.records()?;
        if let Some(found) = records.by_tree.get(&input.tree.tree) {
            return Ok(found.iter().map(|at| &records.all[*at]).collect());
        }
        let part = self.store().objects.read_tree(&input.tree.object)?;
        let mut found = Vec::new();
        let same = |maker: &&Record| maker.made.pipeline == record.made.pipeline && maker.made.stage == input.stage;
        for maker in records.all.iter().filter(same) {
            for made in maker.outputs.values() {
                let whole = self.store().objects.read_tree(&made.object)?;
                if part.entries.iter().all(|(name, entry)| whole.get(name) == Some(entry)) {
                    found.push(maker);
                    break;
                }
            }
        }
        Ok(found)
    }

    fn records(&self) -> Result<&RecordIndex, StoreError> {
        if let Some(records) = self.cache.records.get() {
            return Ok(records);
        }
        let all = self.store().records()?;
        let mut by_tree: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        for (at, record) in all.iter().enumerate() {
            for made in record.outputs.values() {
                by_tree.entry(made.tree).or_default().push(at);
            }
        }
        Ok(self.cache.records.get_or_init(|| RecordIndex { all, by_tree }))
    }
}

/// The paths that a source reads, and the folders that it reads if they are omitted.
fn source_paths(source: &StageSpec) -> BTreeSet<String> {
    let path = |name: &str| match source.value(name) {
        Some(Value::Path(path)) => Some(path.as_str()),
        _ => None,
    };
    let folder = |param: &Param| {
        let file = path(param.folder_of.as_deref()?).filter(|_| path(&param.name).is_none())?;
        Some(file.rsplit_once('/').map_or(".", |(folder, _)| folder))
    };
    let omitted = signature(source).into_iter().flat_map(|signature| &signature.params).filter_map(folder);
    let written = source.params.values().filter_map(|param| match &param.value {
        Value::Path(path) => Some(path.as_str()),
        _ => None,
    });
    let plain =
        |path: &str| Some(path.trim_end_matches('/')).filter(|path| !path.is_empty()).unwrap_or(path).to_owned();
    written.chain(omitted).map(plain).collect()
}

fn carries(port: &InPort) -> bool {
    port.types.iter().all(|ty| CARRIERS.contains(&ty.as_str()))
}

/// The port of a record's input.
fn recipe_port(record: &Record, input: &RecipeInput) -> Option<InPort> {
    let pipeline = recipe::pipeline(record)?;
    signature(&pipeline.stages[0])?.input(&input.port).cloned()
}

/// Whether an input is photographs or patches; [`None`] if its port is unknown.
fn carries_input(record: &Record, input: &RecipeInput) -> Option<bool> {
    recipe_port(record, input).map(|port| carries(&port))
}

/// Whether what is computed of an input reaches the outputs.
fn is_content(record: &Record, input: &RecipeInput) -> bool {
    recipe_port(record, input).is_some_and(|port| !port.sides() && !port.excludes())
}
