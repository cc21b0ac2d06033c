//! Weights files: safetensors and torch's `.pth`, read as named f32 tensors. They know no network.

mod archive;
mod numbers;
mod pickle;
mod prefixes;
mod torch;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{Cursor, Read, Seek, SeekFrom};

use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};

use crate::base::unpanicked;
use crate::lang::network::parts::is_below;
use crate::stage::StageError;
use archive::Archive;
use numbers::{ByteOrder, Number};
use torch::{Held, Reading};

pub(super) use prefixes::fitting;

/// Tensors of a file, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// Name of the file, for messages.
    pub file: String,
    /// Keys that lead to the dictionary that was read, joined by `.`; empty if the file is that dictionary.
    pub reading: String,
    /// Shape and values (in torch's order) by name. Integer tensors are left out.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Unsupported tensors, and what they are.
    pub refused: BTreeMap<String, String>,
}

/// Header of a weights file: its tensors without values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightsHeader {
    /// As [`Weights::reading`].
    pub reading: String,
    /// Shapes by name.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// As [`Weights::refused`].
    pub refused: BTreeMap<String, String>,
    /// Whether it was written by torch.
    pub torch: bool,
    /// Whether the first reader of macula 0.1 would have loaded different tensors from it.
    pub revised: bool,
}

type NamedTensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Longest header of a safetensors file, bytes (the limit of the crate).
const LONGEST_HEADER: u64 = 100_000_000;

/// Reason why a file cannot be read.
#[derive(Debug)]
struct UnreadableFile {
    code: &'static str,
    why: String,
    /// Hint, if it is not the usual one.
    hint: Option<&'static str>,
}

impl UnreadableFile {
    /// Unsupported format.
    fn foreign(why: &str) -> Self {
        Self { code: "weights-format", why: why.to_owned(), hint: None }
    }

    /// Truncated or inconsistent file.
    fn damaged(why: &dyn Display) -> Self {
        Self { code: "damaged-weights", why: why.to_string(), hint: Some("copy or download the file again") }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

impl Weights {
    /// Parses a file: a zip is a `.pth` of torch (1.6 or newer), anything else safetensors. `file` is its name, for messages.
    ///
    /// # Errors
    /// [`StageError::Input`] if it is neither, or a tensor contains a value that is not finite.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, StageError> {
        let read = || if is_zip(bytes) { of_torch(bytes) } else { of_safetensors(bytes) };
        // Third-party readers may panic on malformed files.
        let read = unpanicked(read).unwrap_or_else(|| Err(UnreadableFile::damaged(&"it is damaged")));
        let weights = read.map_err(|refusal| unreadable(file, refusal))?;
        for (name, (_, values)) in &weights.tensors {
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(StageError::input(
                    "weights-not-finite",
                    format!("tensor `{name}` in `{file}` contains {value}"),
                )
                .hint("use weights from before the training diverged"));
            }
        }
        Ok(Self { file: file.to_owned(), ..weights })
    }

    /// Name in messages: the file, and the key within it.
    #[must_use]
    pub fn name(&self) -> String {
        named(&self.file, &self.reading)
    }

    /// Bytes of a safetensors file of these tensors without those below `part`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if safetensors fails.
    pub fn save_without(mut self, part: &str) -> Result<Vec<u8>, StageError> {
        self.tensors.retain(|name, _| !is_below(name, part));
        write(&self.tensors)
    }
}

fn named(file: &str, reading: &str) -> String {
    if reading.is_empty() { format!("`{file}`") } else { format!("`{reading}` of `{file}`") }
}

impl WeightsHeader {
    /// Reads the header of a file, without its values.
    ///
    /// # Errors
    /// [`StageError::Input`] if it is not a weights file.
    pub fn read(file: &str, mut from: impl Read + Seek) -> Result<Self, StageError> {
        let read = || {
            let mut head = Vec::new();
            Read::by_ref(&mut from)
                .take(HEAD)
                .read_to_end(&mut head)
                .map_err(|error| UnreadableFile::damaged(&error))?;
            if is_zip(&head) { Self::of_torch(from) } else { Self::of_safetensors(&head, from) }
        };
        let read = unpanicked(read).unwrap_or_else(|| Err(UnreadableFile::damaged(&"it is damaged")));
        read.map_err(|refusal| unreadable(file, refusal))
    }

    fn of_torch(from: impl Read + Seek) -> Result<Self, UnreadableFile> {
        let mut archive = Archive::open(from)?;
        let Reading { path, tensors, revised } = torch::reading(&mut archive)?;
        let mut header = Self { reading: path, torch: true, ..Self::default() };
        for (name, held) in tensors {
            match held {
                Held::Floats { view, .. } => _ = header.shapes.insert(name, view.shape),
                Held::Refused(why) => _ = header.refused.insert(name, why),
                Held::Whole => {}
            }
        }
        // The first reader always removed `module.`.
        let first: Vec<&str> = header.shapes.keys().map(|name| name.strip_prefix("module.").unwrap_or(name)).collect();
        header.revised = revised || prefixes::are_mixed(&first);
        header.nothing_but_refused()
    }

    fn of_safetensors(head: &[u8], mut from: impl Read + Seek) -> Result<Self, UnreadableFile> {
        let plain = |error: std::io::Error| UnreadableFile::damaged(&error);
        let Some(length) = header_length(head) else { return Err(foreign(head)) };
        let size = from.seek(SeekFrom::End(0)).map_err(plain)?;
        from.seek(SeekFrom::Start(8)).map_err(plain)?;
        let mut text = Vec::new();
        from.take(length).read_to_end(&mut text).map_err(plain)?;
        if (text.len() as u64) < length {
            return Err(truncated());
        }
        let metadata = serde_json::from_slice::<Metadata>(&text);
        let metadata = metadata.map_err(|error| UnreadableFile::damaged(&format!("its header is damaged: {error}")))?;
        if size < 8 + length + metadata.data_len() as u64 {
            return Err(truncated());
        }
        let mut header = Self::default();
        for (name, info) in metadata.tensors().into_iter().collect::<BTreeMap<_, _>>() {
            match number(info.dtype) {
                Ok(Some(_)) => _ = header.shapes.insert(name, info.shape.clone()),
                Ok(None) => {}
                Err(why) => _ = header.refused.insert(name, why),
            }
        }
        let names: Vec<&str> = header.shapes.keys().map(String::as_str).collect();
        header.revised = prefixes::are_mixed(&names);
        header.nothing_but_refused()
    }

    fn nothing_but_refused(self) -> Result<Self, UnreadableFile> {
        refuse_all(self.shapes.is_empty(), &self.refused)?;
        Ok(self)
    }

    /// Name of the file in messages, with the key within it.
    #[must_use]
    pub fn name(&self, file: &str) -> String {
        named(file, &self.reading)
    }
}

/// Number of bytes from which the format of a file is recognised.
const HEAD: u64 = 512;

fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// Length of the header of a safetensors file; [`None`] if it is not such a file.
fn header_length(head: &[u8]) -> Option<u64> {
    let length = u64::from_le_bytes(*head.first_chunk()?);
    (length <= LONGEST_HEADER && head.get(8) == Some(&b'{')).then_some(length)
}

fn truncated() -> UnreadableFile {
    UnreadableFile::damaged(&"it is truncated: its tensors end too early")
}

/// Error for a file that is not a weights file, recognised by its first bytes.
fn foreign(head: &[u8]) -> UnreadableFile {
    let again = "load it with a recent torch and save it again: `torch.save(torch.load(\"FILE\"), \"weights.pth\")`";
    let download = "download the file again";
    let text = head.trim_ascii_start();
    let starts = |word: &str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()));
    // A pickle that begins with the magic number of torch before 1.6.
    let legacy =
        head.get(2..).is_some_and(|rest| head[0] == 0x80 && rest.starts_with(&[0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46]));
    let is_tar =
        head.get(257..262) == Some(b"ustar") || head.starts_with(b"storages\0") || head.starts_with(b"sys_info\0");
    let (why, hint) = if legacy {
        ("it is in the format of torch before 1.6", Some(again))
    } else if is_tar {
        ("it is a tar archive, as torch wrote before 0.2", Some(again))
    } else if head.first() == Some(&0x80) && head.get(1).is_some_and(|protocol| *protocol < 6) {
        ("it is a bare pickle, not a file of `torch.save`", Some(again))
    } else if starts("version https://git-lfs") {
        ("it is a pointer of Git LFS, not the file itself", Some("fetch it with `git lfs pull`"))
    } else if starts("<!doctype") || starts("<html") || starts("<?xml") {
        ("it is a web page", Some(download))
    } else if head.starts_with(b"\x89HDF") {
        ("it is an HDF5 file, as Keras writes", None)
    } else if head.starts_with(b"GGUF") {
        ("it is a GGUF file", None)
    } else if head.is_empty() {
        ("it is empty", Some(download))
    } else {
        ("it is neither a safetensors file nor one of `torch.save`", None)
    };
    UnreadableFile { hint, ..UnreadableFile::foreign(why) }
}

fn unreadable(file: &str, UnreadableFile { code, why, hint }: UnreadableFile) -> StageError {
    const USUAL: &str =
        "give a safetensors file, or a `.pth` that torch 1.6 or newer saved with `torch.save(model.state_dict(), …)`";
    StageError::input(code, format!("cannot read weights from `{file}`: {why}")).hint(hint.unwrap_or(USUAL))
}

/// Fails if no tensor can be read, with the reason for the first one.
fn refuse_all(empty: bool, refused: &BTreeMap<String, String>) -> Result<(), UnreadableFile> {
    match refused.iter().next() {
        Some((name, what)) if empty => {
            let why = format!("its tensor `{name}` is {what}, which is not supported");
            Err(UnreadableFile::foreign(&why)
                .hint("convert the tensors with `.float()` or `.to_dense()` before saving them"))
        }
        _ => Ok(()),
    }
}

/// Number format of a safetensors type; [`None`] for integers.
fn number(of: Dtype) -> Result<Option<Number>, String> {
    Ok(Some(match of {
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        Dtype::F16 => Number::F16,
        Dtype::BF16 => Number::Bf16,
        Dtype::BOOL
        | Dtype::U8
        | Dtype::I8
        | Dtype::U16
        | Dtype::I16
        | Dtype::U32
        | Dtype::I32
        | Dtype::U64
        | Dtype::I64 => return Ok(None),
        Dtype::C64 => return Err("a tensor of complex numbers".to_owned()),
        other => return Err(format!("a tensor of `{other:?}`")),
    }))
}

fn of_safetensors(bytes: &[u8]) -> Result<Weights, UnreadableFile> {
    let Some(length) = header_length(bytes) else { return Err(foreign(&bytes[..bytes.len().min(HEAD as usize)])) };
    if (bytes.len() as u64) < 8 + length {
        return Err(truncated());
    }
    let views = SafeTensors::deserialize(bytes).map_err(|error| UnreadableFile::damaged(&error))?;
    let mut weights = Weights::default();
    for (name, view) in views.tensors() {
        match number(view.dtype()) {
            Ok(Some(number)) => {
                let values = numbers::floats(number, view.data(), ByteOrder::Little);
                weights.tensors.insert(name, (view.shape().to_vec(), values));
            }
            Ok(None) => {}
            Err(why) => _ = weights.refused.insert(name, why),
        }
    }
    refuse_all(weights.tensors.is_empty(), &weights.refused)?;
    Ok(weights)
}

/// Reads torch's zip of a pickle and storages.
fn of_torch(bytes: &[u8]) -> Result<Weights, UnreadableFile> {
    let mut archive = Archive::open(Cursor::new(bytes))?;
    let Reading { path, tensors, .. } = torch::reading(&mut archive)?;
    let order = match archive.entry("byteorder", 64)?.as_deref() {
        Some(b"big") => ByteOrder::Big,
        _ => ByteOrder::Little,
    };
    let mut weights = Weights { reading: path, ..Weights::default() };
    // Tensors are grouped by storage, so that each storage is unpacked once and only one is held at a time.
    let mut storages: BTreeMap<String, Vec<(String, numbers::StridedView)>> = BTreeMap::new();
    for (name, held) in tensors {
        match held {
            Held::Floats { view, storage } => storages.entry(storage).or_default().push((name, view)),
            Held::Refused(why) => _ = weights.refused.insert(name, why),
            Held::Whole => {}
        }
    }
    for (storage, views) in storages {
        let bytes = archive.entry(&format!("data/{storage}"), u64::MAX)?;
        for (name, view) in views {
            let of = |why: &str| UnreadableFile::damaged(&format!("its tensor `{name}` {why}"));
            let bytes = bytes.as_ref().ok_or_else(|| of("has no values in the file"))?;
            let count = view.count().ok_or_else(|| of("is larger than the file"))?;
            archive.spend((count as u64).saturating_mul(4)).map_err(|_| of("is far larger than the file"))?;
            let values = view.values(bytes, order).ok_or_else(|| of("is larger than its storage"))?;
            weights.tensors.insert(name, (view.shape, values));
        }
    }
    refuse_all(weights.tensors.is_empty(), &weights.refused)?;
    Ok(weights)
}

/// Bytes of a safetensors file of `tensors`, in their order and without metadata, so that equal tensors give equal bytes.
pub(super) fn write(tensors: &NamedTensors) -> Result<Vec<u8>, StageError> {
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let defect = |error: safetensors::SafeTensorError| StageError::Bug(format!("safetensors: {error}"));
    let mut views = Vec::with_capacity(tensors.len());
    for ((name, (shape, _)), bytes) in tensors.iter().zip(&bytes) {
        views.push((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(defect)?));
    }
    safetensors::serialize(views, None).map_err(defect)
}
