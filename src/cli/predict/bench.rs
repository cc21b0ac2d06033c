//! Runs a pipeline's stages on a new photograph, in a temporary store.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::scorer::Member;
use super::way::{InputEncoding, RepeatedStage, Way};
use crate::base::{Digest, Hasher, Streams, regular};
use crate::cli::artifact::StageArtifact;
use crate::cli::{Failure, Loaded, artifact};
use crate::data::photographs::{PhotographFacts, PhotographSet, WithoutMask};
use crate::data::source_tree::photograph_extension;
use crate::lang::spec::StageSpec;
use crate::lang::value::Value;
use crate::learn::model::ModelInfo;
use crate::run::Host;
use crate::stage::{Ctx, Implementation, Inputs, Item, Named, NoProgress, Params, StageError, Stop, Work};
use crate::stages;
use crate::stages::heat_map::{HEAT_MAP, MODEL};
use crate::store::{Entry, Objects, Tree};

/// Temporary store that contains the classifiers.
pub(super) struct Bench {
    folder: PathBuf,
    pub(super) objects: Objects,
    /// Description of the classifier; of several, what they have in common.
    pub(super) info: ModelInfo,
    /// The classifiers, and their thresholds if there are any, by port of `heat-map`.
    classifier: Vec<(&'static str, Tree)>,
    /// Outputs of the stages that ran, by stage and inputs: embeddings and patches may come from the same preprocessing.
    outputs: RefCell<BTreeMap<Digest, BTreeMap<String, Tree>>>,
    pub(super) stop: Stop,
}

impl Bench {
    pub(super) fn new(
        folder: &Path,
        loaded: &Loaded,
        info: ModelInfo,
        members: &[Member],
        thresholds: Option<&Tree>,
    ) -> Result<Self, Failure> {
        let objects = Objects::open(&folder.join("objects"))?;
        let model = |member: &Member| Ok(("model", copied(&member.tree, &loaded.store.objects, &objects)?));
        let mut classifier = members.iter().map(model).collect::<Result<Vec<_>, StageError>>()?;
        if let Some(thresholds) = thresholds {
            classifier.push(("thresholds", copied(thresholds, &loaded.store.objects, &objects)?));
        }
        let (outputs, stop) = (RefCell::default(), Stop::default());
        Ok(Self { folder: folder.to_owned(), objects, info, classifier, outputs, stop })
    }

    /// Weights of an encoder.
    pub(super) fn weights(&self, host: &Host, loaded: &Loaded, encoding: &InputEncoding) -> Result<Tree, Failure> {
        let StageArtifact { outputs, outdated, stage, .. } = artifact::find(host, loaded, &encoding.weights.stage)?;
        let found = outputs.get(&encoding.weights.port).filter(|_| !outdated);
        let tree = found.ok_or_else(|| {
            let text = format!("the weights of `{}` are not those of the current file", encoding.encode.base_name);
            Failure::user(text).hint(format!("run `macula run {} {}`", loaded.file, stage.name))
        })?;
        Ok(copied(tree, &loaded.store.objects, &self.objects)?)
    }

    /// Embedding of the photograph in `set`.
    pub(super) fn encode(&self, encoding: &InputEncoding, weights: &Tree, set: &Tree) -> Result<Tree, Failure> {
        let from = self.after(&encoding.steps, set)?;
        let inputs = [("from", from), ("init", weights.clone())];
        Ok(self.output(RepeatedStage { stage: encoding.encode, port: "out" }, &inputs)?)
    }

    /// Heat map of the photograph in `set`, after the pipeline's preprocessing. `embeddings` are in the order of the encodings.
    pub(super) fn map(
        &self,
        set: &Tree,
        params: BTreeMap<String, Value>,
        way: &Way,
        embeddings: &[Tree],
    ) -> Result<Tree, Failure> {
        let mut inputs = self.classifier.clone();
        inputs.push(("from", self.after(&way.preprocess, set)?));
        inputs.extend(embeddings.iter().map(|tree| ("embeddings", tree.clone())));
        let mut results = self.items(&HEAT_MAP, &Params(params), &given(&inputs))?;
        let missing = || StageError::Bug("no heat map of a photograph".to_owned());
        Ok(results.pop().map(|(_, tree)| tree).ok_or_else(missing)?)
    }

    /// Set of one photograph with unknown labels; its bytes are not copied.
    pub(super) fn photograph(&self, name: &str, file: &Path) -> Result<Tree, Failure> {
        let bytes = regular::read(file).map_err(|error| {
            Failure::user(format!("cannot read `{}`: {error}", file.display()))
                .hint("give the path of a photograph: JPEG, PNG, TIFF or DICOM")
        })?;
        let entry = Entry { digest: Digest::of(&bytes), size: bytes.len() as u64 };
        self.objects.put_external([(&entry, file)]);
        let facts = PhotographFacts::released(vec![WithoutMask::Unknown; self.info.classes.len()]);
        let labels = facts.labels;
        let set = PhotographSet { classes: self.info.classes.clone(), photographs: vec![name.to_owned()], labels };
        let mut tree = Tree::default();
        tree.insert(format!("{name}/photograph.{}", photograph_extension(&file.to_string_lossy())), entry);
        tree.insert(format!("{name}/facts.json"), self.objects.put(&json(&facts)?)?);
        tree.insert("set.json", self.objects.put(&json(&set)?)?);
        Ok(tree)
    }

    /// What these stages make of a set, one after the other.
    fn after(&self, steps: &[RepeatedStage], set: &Tree) -> Result<Tree, StageError> {
        steps.iter().try_fold(set.clone(), |from, step| self.output(*step, &[("from", from)]))
    }

    /// An output of a stage of the pipeline.
    fn output(&self, step: RepeatedStage, inputs: &[(&str, Tree)]) -> Result<Tree, StageError> {
        let mut key = Hasher::new("macula predict 1");
        key.text(&step.stage.name);
        for (port, tree) in inputs {
            key.text(port).digest(&tree.digest());
        }
        let key = key.finish();
        let known = self.outputs.borrow().get(&key).cloned();
        let outputs = match known {
            Some(outputs) => outputs,
            None => self.run(step.stage, &given(inputs))?,
        };
        let output = outputs.get(step.port).cloned();
        self.outputs.borrow_mut().insert(key, outputs);
        output.ok_or_else(|| StageError::Bug(format!("`{}` has no output `{}`", step.stage.name, step.port)))
    }

    fn run(&self, stage: &StageSpec, inputs: &Inputs) -> Result<BTreeMap<String, Tree>, StageError> {
        let missing = || StageError::Bug(format!("no implementation `{}`", stage.implementation));
        let implementation = stages::find(&stage.implementation).ok_or_else(missing)?;
        let params = Params(stage.values());
        let ctx = self.context(implementation, &params, inputs);
        let outcome = match implementation.work {
            Work::Whole(run) => run(&ctx)?,
            Work::Map { gather, .. } => gather(&ctx, &self.items(implementation, &params, inputs)?)?,
            _ => return Err(StageError::Bug(format!("`{}` cannot be repeated", stage.name))),
        };
        Ok(outcome.outputs)
    }

    /// Items of a map stage with their results.
    fn items(
        &self,
        implementation: &Implementation,
        params: &Params,
        inputs: &Inputs,
    ) -> Result<Vec<(Item, Tree)>, StageError> {
        let Work::Map { items, one, .. } = implementation.work else {
            return Err(StageError::Bug("no map stage".to_owned()));
        };
        let ctx = self.context(implementation, params, inputs);
        let run = |item: Item| {
            let tree = one(&ctx, &item)?.tree;
            Ok((item, tree))
        };
        items(&ctx)?.into_iter().map(run).collect()
    }

    fn context<'a>(&'a self, implementation: &Implementation, params: &'a Params, inputs: &'a Inputs) -> Ctx<'a> {
        Ctx {
            params,
            inputs,
            streams: Streams::new(0, implementation.name),
            objects: &self.objects,
            partial: &self.folder,
            progress: &NoProgress,
            stop: &self.stop,
        }
    }
}

fn given(inputs: &[(&str, Tree)]) -> Inputs {
    let mut given = Inputs::default();
    for (port, tree) in inputs {
        let named = Named { stage: String::new(), name: String::new(), tree: tree.clone(), summary: None };
        given.0.entry((*port).to_owned()).or_default().push(named);
    }
    given
}

/// A tree in another store; of a model, only the files that stages read.
fn copied(tree: &Tree, from: &Objects, to: &Objects) -> Result<Tree, StageError> {
    let is_model = tree.get(MODEL[0]).is_some();
    let mut copy = Tree::default();
    for (name, entry) in tree.entries.iter().filter(|(name, _)| !is_model || MODEL.contains(&name.as_str())) {
        copy.insert(name, to.put(&from.read(entry)?)?);
    }
    Ok(copy)
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec(value).map_err(|error| StageError::Bug(error.to_string()))
}
