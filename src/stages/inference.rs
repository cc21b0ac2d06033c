//! What the stages that only evaluate a classifier share: their `device`, and what they read of their patches. Knows no stage.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::embeddings::without_unused;
use crate::data::patches::PatchSet;
use crate::engine::gpu::{self, DeviceChoice, DeviceRequest, Precision};
use crate::lang::value::Value;
use crate::learn::model::Classifier;
use crate::stage::{Ctx, Inputs, Narrow, Params, ReadPart, StageError, Warning};
use crate::store::Objects;

/// Device of a stage.
pub(super) fn device(params: &Params) -> DeviceRequest {
    DeviceRequest::from_values(&params.0, DeviceChoice::Cpu)
}

/// Doubt about a GPU that this macula cannot use.
pub(super) fn without_gpu(params: &Params) -> Option<StageError> {
    gpu::not_built_for(device(params), Precision::F32)
}

/// Doubts of a stage that always computes with a network.
pub(super) fn doubts(params: &Params) -> Vec<StageError> {
    without_gpu(params).into_iter().collect()
}

/// Fails before anything runs if a stage that gets a model asks for a GPU that this macula cannot use.
pub(super) fn foresee_device(params: &Params, inputs: &Inputs, _: &Objects) -> Result<Vec<Warning>, StageError> {
    let error = without_gpu(params).filter(|_| inputs.is_connected("model"));
    error.map_or(Ok(Vec::new()), Err)
}

/// Warning if the connected model, if there is one, was trained on patches of another resolution.
///
/// # Errors
/// As [`Classifier::info`].
pub(super) fn other_scale(ctx: &Ctx<'_>, set: &PatchSet) -> Result<Option<Warning>, StageError> {
    let Some(model) = ctx.inputs.optional("model") else { return Ok(None) };
    Ok(Classifier::info(model, ctx.objects)?.scale_warning(set.info.scale, "patches"))
}

/// Target of its results, as far as it is known before the network is.
pub(super) fn target(params: &BTreeMap<String, Value>) -> String {
    gpu::target(DeviceRequest::from_values(params, DeviceChoice::Cpu), Precision::F32)
}

/// Of the embeddings that patches carry, a classifier reads those that its network has inputs for.
pub(super) const NARROW: Narrow = Narrow { upstream: EMBEDDINGS, read: read_by_classifier };

/// Type of outputs without which patches carry no embeddings.
pub(super) const EMBEDDINGS: &str = "embeddings";

fn read_by_classifier(_: &Params, inputs: &Inputs, objects: &Objects) -> Result<Vec<ReadPart>, StageError> {
    let used = match inputs.optional("model") {
        Some(model) => Classifier::info(model, objects)?.network.embeddings(),
        None => BTreeSet::new(),
    };
    Ok(narrowed(inputs, &["data"], &used))
}

/// The patches at `ports` without the embeddings that are not used.
pub(super) fn narrowed(inputs: &Inputs, ports: &[&str], used: &BTreeSet<String>) -> Vec<ReadPart> {
    let used: Vec<&str> = used.iter().map(String::as_str).collect();
    let read = |port: &&str| Some(((*port).to_owned(), 0, without_unused(inputs.optional(port)?, &used)?));
    ports.iter().filter_map(read).collect()
}
