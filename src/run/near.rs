//! Near-duplicates among the photographs of a pipeline: found by a stage that no pipeline names, over the sources of what is evaluated, chosen
//! by and scored. Its result is in the store like that of any stage, and in no other stage's key. Knows no stage by name: the stage is the one
//! whose output has that type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::context::RunContext;
use super::events::{Event, Watch};
use super::executor::{Executor, Failures};
use super::{Host, Project, links, results};
use crate::base::budget::Budget;
use crate::base::{Digest, FileId, Sources, Span, sync};
use crate::data::duplicates::{NearDuplicate, from_parquet};
use crate::lang::port_types::{CARRIERS, DUPLICATES};
use crate::lang::signature::Signature;
use crate::lang::signatures;
use crate::lang::spec::{Input, Output, ParamValue, Pipeline, Reference, StageSpec};
use crate::plan::{
    Decision, Engine, Graph, StageId, StageResult, StageResults, photograph_sources, training_data, used_patches,
};
use crate::stage::{Implementation, StageError, Work};
use crate::store::StageOutcome;

/// File of a result with its pairs.
const PAIRS: &str = "pairs.parquet";

/// Comparison of the photographs behind stages, with what it has read so far.
#[derive(Default)]
pub(super) struct NearDuplicates<'a> {
    /// The implementations of stages; empty if nothing is compared.
    implementations: &'a [Implementation],
    pairs: Mutex<BTreeMap<BTreeSet<StageId>, Arc<NearPairs>>>,
}

/// Pairs among the photographs of some sources, by the name and file of each member.
#[derive(Debug, Default)]
pub(super) struct NearPairs(BTreeMap<(String, Digest), Vec<NearPartner>>);

/// The other photograph of a pair.
#[derive(Clone, Debug)]
pub(super) struct NearPartner {
    /// Its name.
    pub(super) name: String,
    /// Digest of its file.
    pub(super) file: Digest,
    /// How one shows the other, in words; empty if upright and whole.
    pub(super) how: String,
    /// Whether they share only a part.
    pub(super) partly: bool,
}

impl NearPairs {
    fn of(pairs: &[NearDuplicate]) -> Self {
        let mut found: BTreeMap<_, Vec<NearPartner>> = BTreeMap::new();
        for pair in pairs {
            for [one, other] in [[0, 1], [1, 0]].map(|places| places.map(|place| &pair.members[place])) {
                let partner = NearPartner {
                    name: other.name.clone(),
                    file: other.digest,
                    how: pair.how(),
                    partly: pair.overlap.is_some(),
                };
                found.entry((one.name.clone(), one.digest)).or_default().push(partner);
            }
        }
        Self(found)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The photographs that show the same picture as the one with this name and file.
    pub(super) fn partners(&self, name: &str, file: Digest) -> &[NearPartner] {
        self.0.get(&(name.to_owned(), file)).map_or(&[], Vec::as_slice)
    }
}

/// The comparison of some sources as a pipeline of its own: the sources, and the stage that compares them.
struct SourceComparison {
    pipeline: Pipeline,
    graph: Graph,
    /// The stage that compares.
    stage: StageId,
    /// The sources, as numbered in the pipeline that they come from.
    sources: Vec<StageId>,
}

impl SourceComparison {
    /// The comparison of `sources`; [`None`] if no stage compares photographs.
    fn new(engine: &Engine, sources: &BTreeSet<StageId>) -> Option<Self> {
        let signature = comparing()?;
        let sources: Vec<StageId> = sources.iter().copied().collect();
        let mut stages: Vec<StageSpec> = sources.iter().map(|source| engine.stage(*source).clone()).collect();
        let references = |stage: &StageSpec| {
            let photographs = stage.outputs.iter().filter(|output| output.ty == CARRIERS[0]);
            let reference = |output: &Output| Reference { stage: stage.name.clone(), port: output.port.clone() };
            photographs.map(reference).collect::<Vec<_>>()
        };
        let span = Span::new(FileId(0), 0..0);
        let port = signature.inputs.first()?.name.clone();
        let from = stages.iter().flat_map(references).collect();
        let params = signature.params.iter().filter_map(|param| {
            Some((param.name.clone(), ParamValue { keyed: param.since.is_none(), ..param.default.clone()?.into() }))
        });
        stages.push(StageSpec {
            name: signature.name.clone(),
            base_name: signature.name.clone(),
            seed: engine.pipeline.seed,
            stage_type: signature.name.clone(),
            implementation: signature.implementation.clone(),
            inputs: vec![Input { port, from, span }],
            params: params.collect(),
            marks: BTreeSet::new(),
            outputs: signature
                .outputs
                .iter()
                .map(|output| Output { port: output.name.clone(), ty: output.ty.clone() })
                .collect(),
            span,
        });
        let pipeline = Pipeline { stages, instances: Vec::new(), doc: None, ..engine.pipeline.clone() };
        let (graph, mistakes) = Graph::new(&pipeline);
        let stage = StageId(sources.len());
        mistakes.is_empty().then_some(Self { pipeline, graph, stage, sources })
    }

    fn engine<'e>(&'e self, engine: &Engine<'e>, implementations: &'e [Implementation]) -> Option<Engine<'e>> {
        let (graph, store, files) = (self.graph.clone(), engine.store, engine.files);
        Engine::new(&self.pipeline, graph, implementations, store, files, engine.accept).ok()
    }

    /// The results of the sources, as numbered here; [`None`] if one is not known.
    fn known(&self, known: &StageResults) -> Option<StageResults> {
        let one = |(at, source)| Some((StageId(at), Arc::clone(known.get(source)?)));
        self.sources.iter().enumerate().map(one).collect()
    }
}

/// The stage that compares photographs.
fn comparing() -> Option<&'static Signature> {
    signatures().iter().find(|signature| signature.outputs.iter().any(|output| output.ty == DUPLICATES))
}

/// Name of the folder with the pairs of a pipeline, below its results.
pub(super) fn folder_name() -> &'static str {
    comparing().map_or("", |signature| signature.name.as_str())
}

impl<'a> NearDuplicates<'a> {
    /// A comparison by one of these stages; without any, nothing is compared.
    pub(super) fn new(implementations: &'a [Implementation]) -> Self {
        Self { implementations, pairs: Mutex::default() }
    }

    /// The pairs among the photographs of the sources above a stage and the models behind it; [`None`] if they were not compared yet, or cannot
    /// be read: no stage fails because of that.
    pub(super) fn find(&self, engine: &Engine, id: StageId, known: &StageResults) -> Option<Arc<NearPairs>> {
        let sources = sources(engine, id);
        if self.implementations.is_empty() || sources.is_empty() {
            return None;
        }
        if let Some(pairs) = sync::lock(&self.pairs).get(&sources) {
            return Some(Arc::clone(pairs));
        }
        let comparison = SourceComparison::new(engine, &sources)?;
        let known = comparison.known(known)?;
        let own = comparison.engine(engine, self.implementations)?;
        let result = own.stored(comparison.stage, &known).ok()??;
        let pairs = Arc::new(NearPairs::of(&read(engine, &result).ok()?));
        sync::lock(&self.pairs).insert(sources, Arc::clone(&pairs));
        Some(pairs)
    }

    /// Compares what the stages of a run need, as far as the store does not have it, before any of them runs. A failure is not reported: the
    /// stages that read the same photographs report it.
    pub(super) fn compute(&self, shared: &RunContext, decisions: &BTreeMap<StageId, Decision>, memory: u64) {
        let known = |(id, decision): (&StageId, &Decision)| match decision {
            Decision::Source(known) => Some((*id, Arc::clone(known))),
            _ => None,
        };
        let known = decisions.iter().filter_map(known).collect();
        for (comparison, known) in self.comparisons(shared.engine, decisions.keys(), &known) {
            let Some(own) = comparison.engine(shared.engine, self.implementations) else { continue };
            if shared.host.interrupted() || !matches!(own.stored(comparison.stage, &known), Ok(None)) {
                continue;
            }
            let Ok(decision @ Decision::Run(_)) = own.decide(comparison.stage, &known) else { continue };
            let mut plan: BTreeMap<StageId, Decision> =
                known.into_iter().map(|(id, known)| (id, Decision::Source(known))).collect();
            plan.insert(comparison.stage, decision);
            let watch = ComparisonWatch { stage: folder_name(), next: shared.watch };
            let context = RunContext {
                engine: &own,
                host: shared.host,
                pool: shared.pool,
                threads: shared.threads,
                budget: Budget::new(memory),
                watch: &watch,
                run: shared.run.clone(),
                file: shared.file.clone(),
                project: shared.project.clone(),
                results: None,
                sandbox: shared.sandbox,
                trust: shared.trust.clone(),
                reported_no_locks: AtomicBool::default(),
            };
            let texts = Sources::default();
            watch.next.event(&Event::ComparisonBegan { stage: watch.stage.to_owned() });
            Executor::new(&context, &texts, 1, Failures::FailFast, plan).run();
            watch.next.event(&Event::ComparisonEnded { stage: watch.stage.to_owned() });
        }
    }

    /// Keys of the comparisons that stages need, as far as they were computed.
    pub(super) fn keys(&self, engine: &Engine, known: &StageResults) -> BTreeSet<Digest> {
        self.computed(engine, known).into_iter().filter_map(|(_, result)| result.key).collect()
    }

    /// Links the pairs of a run's photographs below its results, if there are any, or were any before.
    pub(super) fn link(
        &self,
        (host, project): (&Host, &Project),
        engine: &Engine,
        known: &StageResults,
        watch: &dyn Watch,
    ) {
        let place = results::folder(&project.folder, &project.pipeline.name).join(folder_name());
        // A stage of the user's of that name has its results there.
        if engine.graph.find(folder_name()).is_some() {
            return;
        }
        let found = self.computed(engine, known).into_iter().filter_map(|(comparison, result)| {
            let pairs = read(engine, &result).ok()?.len();
            Some((pairs, comparison, result))
        });
        // Several comparisons are rare, and that with the most pairs says most.
        let Some((pairs, comparison, result)) = found.max_by_key(|(pairs, ..)| *pairs) else { return };
        let Some(own) = comparison.engine(engine, self.implementations) else { return };
        if pairs > 0 || place.is_dir() {
            let (texts, pipeline) = (Sources::default(), &comparison.pipeline);
            let project = Project { pipeline, sources: &texts, ..project.clone() };
            links::link(host, &project, &own, &BTreeMap::from([(comparison.stage, result)]), watch);
        }
    }

    /// The comparisons that stages need and that the store has, with their results.
    fn computed(&self, engine: &Engine, known: &StageResults) -> Vec<(SourceComparison, Arc<StageResult>)> {
        let found = self.comparisons(engine, known.keys(), known).into_iter().filter_map(|(comparison, known)| {
            let own = comparison.engine(engine, self.implementations)?;
            let result = own.stored(comparison.stage, &known).ok()??;
            Some((comparison, result))
        });
        found.collect()
    }

    /// The comparisons that stages need, each once, with the results of their sources.
    fn comparisons<'s>(
        &self,
        engine: &Engine,
        wanted: impl Iterator<Item = &'s StageId>,
        known: &StageResults,
    ) -> Vec<(SourceComparison, StageResults)> {
        if self.implementations.is_empty() {
            return Vec::new();
        }
        let wanted: BTreeSet<BTreeSet<StageId>> = wanted.map(|id| sources(engine, *id)).collect();
        let comparison = |sources| {
            let comparison = SourceComparison::new(engine, sources)?;
            let known = comparison.known(known)?;
            Some((comparison, known))
        };
        wanted.iter().filter(|sources| !sources.is_empty()).filter_map(comparison).collect()
    }
}

/// The sources of files whose photographs a stage evaluates, chooses by or scores, and of those that trained or chose what is behind it. None
/// if nothing was trained. Photographs that another stage made, such as synthetic ones, are no files that were saved again.
fn sources(engine: &Engine, id: StageId) -> BTreeSet<StageId> {
    let used = used_patches(engine.pipeline, &engine.graph, id);
    let data = training_data(engine.pipeline, &engine.graph, id);
    let trained: BTreeSet<StageId> = data.fitted.iter().chain(&data.chosen).map(|(stage, _)| *stage).collect();
    if used.is_empty() || trained.is_empty() {
        return BTreeSet::new();
    }
    let sets = trained.into_iter().chain(used.iter().map(|used| used.from.0));
    let sources = sets.flat_map(|stage| photograph_sources(engine.pipeline, &engine.graph, stage));
    sources.filter(|source| matches!(engine.implementation(*source).work, Work::Source(_))).collect()
}

/// The pairs of a result.
fn read(engine: &Engine, result: &StageResult) -> Result<Vec<NearDuplicate>, StageError> {
    let mut pairs = Vec::new();
    for artifact in result.outputs.values() {
        let objects = &engine.store.objects;
        if let Some(bytes) = objects.read_in(artifact.tree(objects)?, PAIRS)? {
            pairs.extend(from_parquet(&bytes)?);
        }
    }
    Ok(pairs)
}

/// Passes on the progress of a comparison and what it found, as it belongs to no stage of the pipeline.
struct ComparisonWatch<'a> {
    stage: &'static str,
    next: &'a dyn Watch,
}

impl Watch for ComparisonWatch<'_> {
    fn event(&self, event: &Event) {
        match event {
            Event::Step { .. } => self.next.event(event),
            Event::StageEnded { stage, became: StageOutcome::Computed, seconds, summary, .. }
                if stage == self.stage =>
            {
                let (stage, headline) = (stage.clone(), summary.headline.clone());
                self.next.event(&Event::Compared { stage, seconds: *seconds, headline });
            }
            _ => {}
        }
    }
}
