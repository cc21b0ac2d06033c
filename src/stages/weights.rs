//! `weights`: a file of pretrained tensors.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::Metadata;

use crate::base::regular;
use crate::stage::{Determinism, Files, Implementation, Outcome, Params, StageError, Summary, Work};
use crate::store::Tree;

/// The implementation of `weights`.
pub const WEIGHTS: Implementation = Implementation {
    name: "weights",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    work: Work::Source(source),
};

/// The longest header of a safetensors file, bytes (the crate's own limit).
const LONGEST_HEADER: u64 = 100_000_000;

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let path = files.resolve(params.text("file")?);
    let entry = files.entry(&path)?;
    let wrong = |reason: &str| {
        StageError::input("damaged-weights", format!("`{}` {reason}", path.display()))
            .hint("copy or download the file again; safetensors and torch's `.pth` (1.6 or newer) are read")
            .field("file")
    };
    let (name, headline) = match look(&path, entry.size) {
        Ok(Look::SafeTensors(count)) => {
            ("weights.safetensors", if count == 1 { "1 tensor".to_owned() } else { format!("{count} tensors") })
        }
        Ok(Look::Zip) => ("weights.pth", "a file of torch".to_owned()),
        Ok(Look::Truncated) => return Err(wrong("is truncated: its tensors end too early")),
        Ok(Look::OldPickle) => return Err(wrong("was saved by a torch before 1.6, whose format is not read")),
        Ok(Look::Foreign) => return Err(wrong("is no file of weights")),
        Err(error) => return Err(wrong(&format!("can't be read: {error}"))),
    };
    let mut tree = Tree::default();
    tree.insert(name, entry);
    let summary = Summary { headline, ..Summary::default() };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary })
}

/// What a file looks like from its head and tail.
enum Look {
    SafeTensors(usize),
    Zip,
    OldPickle,
    Truncated,
    Foreign,
}

fn look(path: &Path, size: u64) -> std::io::Result<Look> {
    let mut file = regular::open(path)?;
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(8).read_to_end(&mut head)?;
    let Ok(first) = <[u8; 8]>::try_from(head.as_slice()) else { return Ok(Look::Foreign) };
    if first.starts_with(b"PK\x03\x04") {
        // The directory of a zip stands at its end, 22 bytes and a comment of at most 64 KB.
        file.seek(SeekFrom::Start(size.saturating_sub((1 << 16) + 22)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let whole = tail.windows(4).any(|bytes| bytes == b"PK\x05\x06");
        return Ok(if whole { Look::Zip } else { Look::Truncated });
    }
    if first.starts_with(&[0x80, 0x02]) {
        return Ok(Look::OldPickle);
    }
    let header = u64::from_le_bytes(first);
    if header > LONGEST_HEADER {
        return Ok(Look::Foreign);
    }
    let mut bytes = first.to_vec();
    file.take(header).read_to_end(&mut bytes)?;
    if bytes.get(8) != Some(&b'{') {
        return Ok(Look::Foreign);
    }
    if (bytes.len() as u64) < 8 + header {
        return Ok(Look::Truncated);
    }
    let Ok(metadata) = serde_json::from_slice::<Metadata>(&bytes[8..]) else { return Ok(Look::Foreign) };
    let whole = 8 + header + metadata.data_len() as u64;
    Ok(if size < whole { Look::Truncated } else { Look::SafeTensors(metadata.tensors().len()) })
}
