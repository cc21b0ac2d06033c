//! Files of weights: safetensors and torch's `.pth`, as named f32 tensors. They know no network.

use std::collections::BTreeMap;
use std::io::Write;

use candle_core::pickle::PthTensors;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::candle;
use crate::base::unpanicked;
use crate::stage::StageError;

/// The tensors of a file, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// The file's name, for texts.
    pub file: String,
    /// Shape and values (in torch's order) by name. Tensors of whole numbers are left out.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Weights {
    /// Reads a file's bytes: a zip is torch's `.pth` (1.6 or newer), anything else safetensors. `file` is its name, for texts.
    ///
    /// # Errors
    /// [`StageError::Input`] where it is neither, or a tensor holds a value that is not finite.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, StageError> {
        let tensors = if bytes.starts_with(b"PK\x03\x04") {
            // candle's reader asserts what a pickle should be.
            unpanicked(|| pth(file, bytes)).unwrap_or_else(|| Err(unreadable(file, "its pickle is damaged")))?
        } else {
            safetensors(file, bytes)?
        };
        for (name, (_, values)) in &tensors {
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(StageError::input(
                    "weights-not-finite",
                    format!("tensor `{name}` in `{file}` holds {value}"),
                )
                .hint("use weights from before the training diverged"));
            }
        }
        Ok(Self { file: file.to_owned(), tensors })
    }
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn unreadable(file: &str, why: impl std::fmt::Display) -> StageError {
    StageError::input("weights-format", format!("cannot read weights from `{file}`: {why}")).hint(
        "give a safetensors file, or a `.pth` that torch 1.6 or newer saved with `torch.save(model.state_dict(), …)`",
    )
}

fn safetensors(file: &str, bytes: &[u8]) -> Result<Tensors, StageError> {
    let views = SafeTensors::deserialize(bytes).map_err(|error| unreadable(file, error))?;
    let mut tensors = Tensors::new();
    for (name, view) in views.tensors() {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Dtype::F64 => data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
            Dtype::F16 => data.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect(),
            Dtype::BF16 => data.as_chunks().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).to_f32()).collect(),
            _ => continue,
        };
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok(tensors)
}

/// torch's zip of pickles. candle reads it from a file alone, so the bytes are put into one.
fn pth(file: &str, bytes: &[u8]) -> Result<Tensors, StageError> {
    let mut copy = tempfile::NamedTempFile::new().map_err(|error| unreadable(file, error))?;
    copy.write_all(bytes).map_err(|error| unreadable(file, error))?;
    // The tensors themselves, or below one of the names that training scripts use.
    let opened = [None, Some("state_dict"), Some("model"), Some("model_state_dict")]
        .into_iter()
        .find_map(|key| PthTensors::new(copy.path(), key).ok().filter(|tensors| !tensors.tensor_infos().is_empty()));
    let opened = opened.ok_or_else(|| unreadable(file, "it holds no state dictionary"))?;
    let mut names: Vec<&String> = opened.tensor_infos().keys().collect();
    names.sort_unstable();
    let mut tensors = Tensors::new();
    for name in names {
        let info = &opened.tensor_infos()[name];
        let held = info.layout.dims().iter().try_fold(info.dtype.size_in_bytes(), |all, &side| all.checked_mul(side));
        if held.is_none_or(|held| held > bytes.len()) {
            return Err(unreadable(file, format!("tensor `{name}` is larger than the file")));
        }
        let tensor = opened.get(name).map_err(|error| unreadable(file, error))?;
        let Some(tensor) = tensor.filter(|tensor| tensor.dtype().is_float()) else { continue };
        // `module.` is what DataParallel puts before each name.
        let short = name.strip_prefix("module.").unwrap_or(name).to_owned();
        tensors.insert(short, (tensor.dims().to_vec(), floats(&tensor)?));
    }
    Ok(tensors)
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, StageError> {
    let read = || tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1();
    read().map_err(candle)
}

/// The bytes of a safetensors file of `tensors`, in their order and without metadata, so that equal tensors give equal bytes.
pub(super) fn write(tensors: &Tensors) -> Result<Vec<u8>, StageError> {
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let defect = |error: safetensors::SafeTensorError| StageError::Bug(format!("safetensors: {error}"));
    let mut views = Vec::with_capacity(tensors.len());
    for ((name, (shape, _)), bytes) in tensors.iter().zip(&bytes) {
        views.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(defect)?));
    }
    safetensors::serialize(views, None).map_err(defect)
}
