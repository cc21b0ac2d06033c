//! `weights`: a file of pretrained tensors.

use std::io::BufReader;

use crate::base::figure::counted;
use crate::base::regular;
use crate::engine::network::WeightsHeader;
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
    foresee: None,
    narrow: None,
    work: Work::Source(source),
};

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let path = files.resolve(params.text("file")?);
    let entry = files.entry(&path)?;
    let shown = path.display().to_string();
    let file = regular::open(&path).map_err(|error| {
        StageError::input("damaged-weights", format!("`{shown}` cannot be read: {error}")).field("file")
    })?;
    let header = WeightsHeader::read(&shown, BufReader::new(file)).map_err(|error| error.field("file"))?;
    let mut tree = Tree::default();
    tree.insert(name(&header), entry);
    let tensors = counted(header.shapes.len() as u64, "tensor", "tensors");
    let of = if header.reading.is_empty() { String::new() } else { format!(" of `{}`", header.reading) };
    let summary = Summary { headline: tensors + &of, ..Summary::default() };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// The file's name in the tree, and so in the keys of trainings. A file from which trainings may now use other tensors than before has
/// a different name.
fn name(header: &WeightsHeader) -> &'static str {
    match (header.torch, header.revised) {
        (true, false) => "weights.pth",
        (true, true) => "weights-2.pth",
        (false, false) => "weights.safetensors",
        (false, true) => "weights-2.safetensors",
    }
}
