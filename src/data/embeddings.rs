//! Embeddings: for each photograph a vector, or a grid of vectors, computed by a network.
//!
//! The tree: `embeddings.json` ([`EmbeddingsInfo`]) and `photographs/PHOTOGRAPH.safetensors` with one tensor `values`, rows x columns x
//! channels, f32 or f16. A patch set that was joined with embeddings refers to the same files as `embeddings/NAME/PHOTOGRAPH.safetensors`
//! and describes them in `embeddings/NAME.json` ([`JoinedEmbeddings`]).
//!
//! In Python: `safetensors.numpy.load_file("photographs/NAME.safetensors")["values"]`.

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::base::figure::counted;
use crate::stage::StageError;
use crate::store::{Blob, Entry, Objects, Tree};

/// File with the description in a tree of embeddings.
const INFO: &str = "embeddings.json";

/// Number of photographs that an error names.
const NAMED: usize = 3;

/// The tensor of a file.
const VALUES: &str = "values";

/// Properties that all embeddings of a set share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingsInfo {
    /// Rows of the grid; 1 for a vector.
    pub rows: u32,
    /// Columns of the grid; 1 for a vector.
    pub columns: u32,
    /// Values per cell.
    pub channels: u32,
    /// How a value is stored.
    pub store: StoredAs,
    /// Digest of everything but the photographs that the values depend on: network, weights, size, normalisation.
    pub encoder: Digest,
    /// The encoder in words: ``resnet18` up to `features`, photographs of 512 px``.
    pub description: String,
    /// Classes whose logits are the values; empty if they are features.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoredAs {
    /// 32 bits.
    F32,
    /// 16 bits: half the space, 11 bits of precision.
    F16,
}

impl StoredAs {
    const fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
        }
    }
}

impl EmbeddingsInfo {
    /// Number of values of a photograph.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows as usize * self.columns as usize * self.channels as usize
    }

    /// Whether there are no values.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape in words: `512 values`, `256 values in each of 22 x 32 cells`.
    #[must_use]
    pub fn shape(&self) -> String {
        if self.rows * self.columns == 1 {
            return format!("{} values", self.channels);
        }
        format!("{} values in each of {} x {} cells", self.channels, self.columns, self.rows)
    }

    /// A photograph's file: `values`, rows x columns x channels.
    ///
    /// # Errors
    /// [`StageError::Bug`] if the number of values does not match.
    pub fn file(&self, values: &[f32]) -> Result<Vec<u8>, StageError> {
        let bug = |error: &dyn std::fmt::Display| StageError::Bug(error.to_string());
        if values.len() != self.len() {
            return Err(bug(&format!("{} values for {}", values.len(), self.shape())));
        }
        let bytes: Vec<u8> = match self.store {
            StoredAs::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            StoredAs::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        };
        let shape = [self.rows, self.columns, self.channels].map(|side| side as usize).to_vec();
        let view = TensorView::new(self.store.dtype(), shape, &bytes).map_err(|error| bug(&error))?;
        safetensors::serialize([(VALUES, view)], None).map_err(|error| bug(&error))
    }
}

/// Embeddings of a set of photographs.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// What they share.
    pub info: EmbeddingsInfo,
    /// Photographs and their files, by name.
    pub photographs: Vec<(String, Entry)>,
}

impl Embeddings {
    /// Reads a tree of embeddings, without the values.
    ///
    /// # Errors
    /// Errors of the store; `foreign-table` if macula did not write the tree.
    pub fn read(tree: &Tree, objects: &Objects) -> Result<Self, StageError> {
        let info = objects.read_in(tree, INFO)?.ok_or_else(|| foreign("`embeddings.json` is missing"))?;
        let info = serde_json::from_slice(&info).map_err(|error| foreign(&error.to_string()))?;
        let one = |(file, entry): (&str, &Entry)| {
            let name = file.strip_suffix(".safetensors").ok_or_else(|| foreign(file))?;
            Ok((name.to_owned(), *entry))
        };
        let photographs = tree.under("photographs/").map(one).collect::<Result<_, StageError>>()?;
        Ok(Self { info, photographs })
    }

    /// Writes the description and refers to the files.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn write(&self, objects: &Objects) -> Result<Tree, StageError> {
        let mut tree = Tree::default();
        tree.insert(INFO, objects.put(&json(&self.info)?)?);
        for (name, entry) in &self.photographs {
            tree.insert(format!("photographs/{name}.safetensors"), *entry);
        }
        Ok(tree)
    }

    /// The file of a photograph.
    #[must_use]
    pub fn find(&self, photograph: &str) -> Option<Entry> {
        let at = self.photographs.binary_search_by(|(name, _)| name.as_str().cmp(photograph)).ok()?;
        Some(self.photographs[at].1)
    }

    /// Checks that each of these photographs has an embedding.
    ///
    /// # Errors
    /// `missing-embedding`, naming the first photographs that have none.
    pub fn cover<'a>(&self, photographs: impl Iterator<Item = &'a str>) -> Result<(), StageError> {
        let lacking: Vec<&str> = photographs.filter(|name| self.find(name).is_none()).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = lacking.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
        let more = if lacking.len() > NAMED { format!(" and {} more", lacking.len() - NAMED) } else { String::new() };
        let text = format!(
            "{} without an embedding: {}{more}",
            counted(lacking.len() as u64, "photograph", "photographs"),
            named.join(", ")
        );
        let hint = "`encode` the photographs that patches are cut from; they are matched by name";
        Err(StageError::input("missing-embedding", text).hint(hint).field("embeddings"))
    }
}

/// What a patch gets for its photograph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// The embedding of its photograph.
    #[default]
    None,
    /// That of a photograph of another patient: the control that tells context from capacity.
    Other,
    /// Zeros.
    Zero,
}

/// Embeddings that the patches of a set carry under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinedEmbeddings {
    /// Name of the network's input.
    pub name: String,
    /// What they share.
    pub info: EmbeddingsInfo,
    /// What a patch gets.
    pub control: Control,
}

impl JoinedEmbeddings {
    /// Their description in a patch set's tree.
    #[must_use]
    pub fn file(name: &str) -> String {
        format!("embeddings/{name}.json")
    }

    /// The file of a photograph in a patch set's tree.
    #[must_use]
    pub fn photograph_file(name: &str, photograph: &str) -> String {
        format!("embeddings/{name}/{photograph}.safetensors")
    }

    /// Reads the descriptions in a patch set's tree, sorted by name.
    ///
    /// # Errors
    /// Errors of the store; `foreign-table` if macula did not write them.
    pub fn read_all(tree: &Tree, objects: &Objects) -> Result<Vec<Self>, StageError> {
        let described = tree.under("embeddings/").filter(|(file, _)| !file.contains('/'));
        let read = |(file, entry): (&str, &Entry)| {
            let bytes = objects.read(entry)?;
            serde_json::from_slice(&bytes).map_err(|error| foreign(&format!("`embeddings/{file}`: {error}")))
        };
        let mut all: Vec<Self> = described.map(read).collect::<Result<_, StageError>>()?;
        // Files are in another order than names: `a-b.json` comes before `a.json`.
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// The values of a photograph in an item of a map stage, which has the files of a patch set's tree.
    ///
    /// # Errors
    /// Errors of the store; `foreign-table` if macula did not write them.
    pub fn values(&self, photograph: &str, item: &Tree, objects: &Objects) -> Result<Vec<f32>, StageError> {
        let mut values = vec![0.0; self.info.len()];
        if self.control != Control::Zero {
            let file = Self::photograph_file(&self.name, photograph);
            let missing = || StageError::Bug(format!("an item without `{file}`"));
            let entry = item.get(&file).ok_or_else(missing)?;
            EmbeddingValues::open(entry, photograph, &self.info, objects)?.copy_to(&mut values);
        }
        Ok(values)
    }

    /// Writes the description.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn write(&self, objects: &Objects) -> Result<Entry, StageError> {
        Ok(objects.put(&json(self)?)?)
    }
}

/// A tree of patches without the embeddings that a reader does not use, so that its key does not depend on them; [`None`] if it has no
/// such embeddings.
#[must_use]
pub fn without_unused(tree: &Tree, used: &[&str]) -> Option<Tree> {
    let unused = |file: &str| {
        let Some(rest) = file.strip_prefix("embeddings/") else { return false };
        let name = rest.split_once('/').map_or_else(|| rest.strip_suffix(".json").unwrap_or(rest), |(name, _)| name);
        !used.contains(&name)
    };
    if !tree.entries.keys().any(|file| unused(file)) {
        return None;
    }
    let entries = tree.entries.iter().filter(|(file, _)| !unused(file));
    Some(Tree { entries: entries.map(|(file, entry)| (file.clone(), *entry)).collect() })
}

/// A tree of embeddings with only those photographs for which `keep` is true.
#[must_use]
pub fn of_photographs(tree: &Tree, keep: impl Fn(&str) -> bool) -> Tree {
    let kept = |file: &str| {
        let name = file.strip_prefix("photographs/").and_then(|file| file.strip_suffix(".safetensors"));
        name.is_none_or(&keep)
    };
    let entries = tree.entries.iter().filter(|(file, _)| kept(file));
    Tree { entries: entries.map(|(file, entry)| (file.clone(), *entry)).collect() }
}

/// Values of one photograph, memory-mapped and verified.
#[derive(Debug)]
pub struct EmbeddingValues {
    blob: Blob,
    start: usize,
    store: StoredAs,
    len: usize,
}

impl EmbeddingValues {
    /// Opens the file of `photograph`.
    ///
    /// # Errors
    /// As [`Objects::read`]; `foreign-table` if its shape does not match `info`.
    pub fn open(entry: &Entry, photograph: &str, info: &EmbeddingsInfo, objects: &Objects) -> Result<Self, StageError> {
        let blob = objects.read(entry)?;
        let wrong = || foreign(&format!("the values of `{photograph}` are not {}", info.shape()));
        let tensors = SafeTensors::deserialize(&blob).map_err(|_| wrong())?;
        let tensor = tensors.tensor(VALUES).map_err(|_| wrong())?;
        let shape = [info.rows, info.columns, info.channels].map(|side| side as usize);
        if tensor.shape() != shape || tensor.dtype() != info.store.dtype() {
            return Err(wrong());
        }
        let start = tensor.data().as_ptr().addr() - blob.as_ptr().addr();
        Ok(Self { blob, start, store: info.store, len: info.len() })
    }

    /// Copies all values, rows x columns x channels, into `values`.
    pub fn copy_to(&self, values: &mut [f32]) {
        let bytes = &self.blob[self.start..];
        match self.store {
            StoredAs::F32 => {
                let four = bytes[..4 * self.len].as_chunks().0;
                values.iter_mut().zip(four).for_each(|(value, four)| *value = f32::from_le_bytes(*four));
            }
            StoredAs::F16 => {
                let two = bytes[..2 * self.len].as_chunks().0;
                values.iter_mut().zip(two).for_each(|(value, two)| *value = f16::from_le_bytes(*two).to_f32());
            }
        }
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec_pretty(value).map_err(|error| StageError::Bug(error.to_string()))
}

fn foreign(reason: &str) -> StageError {
    StageError::input("foreign-table", format!("not embeddings written by macula: {reason}"))
}
