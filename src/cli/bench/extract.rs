//! Extraction benchmark: synthetic photographs are decoded, cut, labelled, hashed and written by the stages themselves.

use std::path::Path;

use rayon::prelude::*;

use super::{BenchSize, Failure, Measured, failure, measure};
use crate::base::{Sources, Streams};
use crate::lang::spec::{Points, StageSpec};
use crate::lang::{self};
use crate::plan::decision::item_params;
use crate::stage::{Ctx, Implementation, Inputs, Item, Named, NoProgress, Params, StageError, Stop, Work};
use crate::stages;
use crate::store::{Objects, Tree};

/// Side of a synthetic photograph, px.
pub(super) const SIDE: u32 = 1024;

/// No photograph is cut twice, because cached content would cost less.
pub(super) fn extract(asked: BenchSize) -> Result<Measured, Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::user(format!("no temporary folder: {error}")))?;
    let objects = Objects::open(&folder.path().join("objects")).map_err(|error| failure(error.into()))?;
    let count = asked.batch * (asked.warmup + asked.steps);
    let text = format!(
        "pipeline bench seed=1 {{\n    synthetic eyes {{ photographs {count}; size {SIDE} }}\n    extract patches {{ from eyes; size {} }}\n}}\n",
        asked.size
    );
    let [made, cut] = stages_of(&folder.path().join("bench.kdl"), &text)?;
    let photographs = whole(&made, &Inputs::default(), &objects, folder.path()).map_err(failure)?;
    let named = Named { stage: "eyes".to_owned(), name: "eyes".to_owned(), tree: photographs, summary: None };
    let inputs = Inputs([("from".to_owned(), vec![named])].into());
    let work = Items::new(&cut, &inputs, &objects, folder.path()).map_err(failure)?;
    measure(asked, |at| {
        let items = &work.all[at * asked.batch..(at + 1) * asked.batch];
        items.par_iter().try_for_each(|item| work.one(item).map(|_| ())).map_err(failure)
    })
}

/// The two stages of the text, every value filled in.
fn stages_of(file: &Path, text: &str) -> Result<[StageSpec; 2], Failure> {
    std::fs::write(file, text).map_err(|error| Failure::user(format!("cannot write `{}`: {error}", file.display())))?;
    let loaded = lang::load(file, &[], Points::OneByOne, &mut Sources::default());
    let (contents, diags) = loaded.map_err(|error| Failure::user(error.to_string()))?;
    let stages = contents.pipelines.into_iter().next().map(|pipeline| pipeline.stages).unwrap_or_default();
    stages.try_into().map_err(|_| {
        let said: Vec<&str> = diags.iter().map(|diag| diag.message.as_str()).collect();
        Failure::user(format!("cannot cut patches of this size: {}", said.join("; ")))
    })
}

/// A map stage, ready for its items.
struct Items<'a> {
    implementation: &'static Implementation,
    params: Params,
    inputs: &'a Inputs,
    objects: &'a Objects,
    partial: &'a Path,
    stop: Stop,
    all: Vec<Item>,
}

impl<'a> Items<'a> {
    fn new(stage: &StageSpec, inputs: &'a Inputs, objects: &'a Objects, partial: &'a Path) -> Result<Self, StageError> {
        let missing = || StageError::Bug(format!("no map stage `{}`", stage.implementation));
        let implementation = stages::find(&stage.implementation).ok_or_else(missing)?;
        let Work::Map { items, .. } = implementation.work else { return Err(missing()) };
        let params = Params(stage.values());
        let mut work = Self { implementation, params, inputs, objects, partial, stop: Stop::default(), all: vec![] };
        work.all = items(&work.ctx(&work.params))?;
        work.params = item_params(stage, implementation);
        Ok(work)
    }

    fn ctx<'b>(&'b self, params: &'b Params) -> Ctx<'b> {
        Ctx {
            params,
            inputs: self.inputs,
            streams: Streams::new(1, self.implementation.name),
            objects: self.objects,
            partial: self.partial,
            progress: &NoProgress,
            stop: &self.stop,
        }
    }

    fn one(&self, item: &Item) -> Result<Tree, StageError> {
        let Work::Map { one, .. } = self.implementation.work else {
            return Err(StageError::Bug("no map stage".to_owned()));
        };
        Ok(one(&self.ctx(&self.params), item)?.tree)
    }
}

/// The output of a map stage over all of its items.
fn whole(stage: &StageSpec, inputs: &Inputs, objects: &Objects, partial: &Path) -> Result<Tree, StageError> {
    let work = Items::new(stage, inputs, objects, partial)?;
    let made = work.all.par_iter().map(|item| Ok((item.clone(), work.one(item)?)));
    let made = made.collect::<Result<Vec<_>, StageError>>()?;
    let Work::Map { gather, .. } = work.implementation.work else {
        return Err(StageError::Bug("no map stage".to_owned()));
    };
    let outcome = gather(&work.ctx(&Params(stage.values())), &made)?;
    outcome.outputs.into_values().next().ok_or_else(|| StageError::Bug("a stage without an output".to_owned()))
}
