//! Inputs without the labels of their photographs: what a command gets of test photographs.

use crate::data::patches::{PatchSet, SetInfo, Shard, shard_head};
use crate::data::photographs::{PhotographFacts, WithoutMask};
use crate::data::predictions::patches_csv;
use crate::data::table::Columns;
use crate::stage::StageError;
use crate::store::{Entry, Objects, Tree};

/// Columns with labels, or with what follows from them.
const LABELS: [&str; 3] = ["label.", "mask_pixels.", "prevalence."];

/// Files of an evaluation that show no label: curves and examples do.
const OF_SCORES: [&str; 2] = ["scores.json", "predictions.parquet"];

/// A file of an input, as a command gets it.
pub(super) enum GivenFile {
    /// As it is.
    Whole(Entry),
    /// With other bytes.
    Changed(Vec<u8>),
}

/// The files of an input at `port`, without labels.
///
/// # Errors
/// Store errors.
pub(super) fn without_labels(
    port: &str,
    tree: &Tree,
    objects: &Objects,
) -> Result<Vec<(String, GivenFile)>, StageError> {
    match port {
        "patches" => patches(tree, objects),
        "photographs" => photographs(tree, objects),
        "scores" => {
            let shown = tree.entries.iter().filter(|(name, _)| OF_SCORES.contains(&name.as_str()));
            tables(shown, objects)
        }
        _ => tables(tree.entries.iter(), objects),
    }
}

fn patches(tree: &Tree, objects: &Objects) -> Result<Vec<(String, GivenFile)>, StageError> {
    let set = PatchSet::read(tree, objects)?;
    let masks = set.info.masks;
    let set = set.unlabelled();
    let mut files = vec![("patches.csv".to_owned(), GivenFile::Changed(patches_csv(&set).into_bytes()))];
    for part in &set.parts {
        files.push((format!("parts/{}.parquet", part.photograph), GivenFile::Changed(part.to_parquet(&set.info)?)));
    }
    for (name, entry) in &tree.entries {
        let photograph = name.strip_prefix("shards/").and_then(|file| file.strip_suffix(".safetensors"));
        let file = match photograph {
            _ if name.starts_with("parts/") => continue,
            _ if name == "set.json" => {
                let text = serde_json::to_vec(&set.info).map_err(|error| StageError::Bug(error.to_string()))?;
                GivenFile::Changed(text)
            }
            Some(photograph) if masks => GivenFile::Changed(pixels(entry, photograph, &set.info, objects)?),
            _ => GivenFile::Whole(*entry),
        };
        files.push((name.clone(), file));
    }
    Ok(files)
}

/// A shard without its masks.
fn pixels(entry: &Entry, photograph: &str, info: &SetInfo, objects: &Objects) -> Result<Vec<u8>, StageError> {
    let shard = Shard::open_pixels(entry, photograph, info.side(), objects)?;
    let mut bytes = shard_head(shard.rows(), info);
    for row in 0..shard.rows() {
        bytes.extend_from_slice(shard.pixels(row as u32));
    }
    Ok(bytes)
}

/// Photographs without masks and without what a table says of their lesions.
fn photographs(tree: &Tree, objects: &Objects) -> Result<Vec<(String, GivenFile)>, StageError> {
    let mut files = Vec::new();
    for (name, entry) in &tree.entries {
        let file = name.rsplit('/').next().unwrap_or(name);
        if file.starts_with("mask.") {
            continue;
        }
        let given = if file == "facts.json" {
            let bug = |error: serde_json::Error| StageError::Bug(format!("`{name}`: {error}"));
            let facts: PhotographFacts = serde_json::from_slice(&objects.read(entry)?).map_err(bug)?;
            let without_mask = vec![WithoutMask::Unknown; facts.without_mask.len()];
            let facts = PhotographFacts { without_mask, told_absent: Vec::new(), ..facts };
            GivenFile::Changed(serde_json::to_vec(&facts).map_err(bug)?)
        } else {
            GivenFile::Whole(*entry)
        };
        files.push((name.clone(), given));
    }
    Ok(files)
}

/// Tables without their columns of labels.
fn tables<'a>(
    entries: impl Iterator<Item = (&'a String, &'a Entry)>,
    objects: &Objects,
) -> Result<Vec<(String, GivenFile)>, StageError> {
    let table = |(name, entry): (&String, &Entry)| {
        if !name.ends_with(".parquet") {
            return Ok((name.clone(), GivenFile::Whole(*entry)));
        }
        let bug = |error: crate::data::table::TableError| StageError::Bug(format!("`{name}`: {error}"));
        let Columns(mut columns) = Columns::from_parquet(&objects.read(entry)?).map_err(bug)?;
        columns.retain(|(column, _)| !LABELS.iter().any(|label| column.starts_with(label)));
        Ok((name.clone(), GivenFile::Changed(Columns(columns).to_parquet().map_err(bug)?)))
    };
    entries.map(table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_a_mask_contradicts_is_withheld_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(folder.path()).expect("a store");
        let facts = PhotographFacts {
            told_absent: vec![1],
            patient: Some("p".to_owned()),
            ..PhotographFacts::released(vec![WithoutMask::Present, WithoutMask::Absent])
        };
        let mut tree = Tree::default();
        tree.insert("a/facts.json", objects.put(&serde_json::to_vec(&facts).expect("JSON")).expect("stored"));
        tree.insert("a/mask.MA.png", objects.put(b"mask").expect("stored"));
        let files = photographs(&tree, &objects).expect("files");
        let [(name, GivenFile::Changed(bytes))] = &files[..] else { panic!("facts alone") };
        let given: PhotographFacts = serde_json::from_slice(bytes).expect("facts");
        let unlabelled = PhotographFacts::released(vec![WithoutMask::Unknown; 2]);
        assert_eq!(given, PhotographFacts { patient: Some("p".to_owned()), ..unlabelled });
        assert_eq!(name, "a/facts.json");
    }
}
