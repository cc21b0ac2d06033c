//! `device` of the stages that only evaluate a classifier. Knows no stage.

use std::collections::BTreeMap;

use crate::lang::value::Value;
use crate::learn::gpu::{self, DeviceChoice, Precision};
use crate::stage::{Params, StageError};

/// Device of a stage.
pub(super) fn device(params: &Params) -> Result<DeviceChoice, StageError> {
    Ok(DeviceChoice::from_name(params.text("device")?))
}

/// Target of its results.
pub(super) fn target(params: &BTreeMap<String, Value>) -> String {
    let choice = match params.get("device") {
        Some(Value::Text(name)) => DeviceChoice::from_name(name),
        _ => DeviceChoice::Cpu,
    };
    gpu::target(choice, Precision::F32)
}
