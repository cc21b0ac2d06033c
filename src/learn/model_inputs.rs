//! Embeddings of whole photographs for a model, in stages that cut its patches themselves. Knows no stage.

use super::model::{ModelInfo, same_encoder};
use crate::base::figure::counted;
use crate::data::embeddings::{Control, Embeddings, JoinedEmbeddings};
use crate::lang::near::{names, near};
use crate::stage::{Item, Named, StageError, Warning};
use crate::store::Objects;

/// Embeddings for an input of a model, and how it reads them.
pub type GivenEmbeddings = (JoinedEmbeddings, Embeddings);

/// For each of the model's inputs that read embeddings, the position of those that are given for it. `inputs` names the inputs of `count`
/// given embeddings; it may be empty if there is one of each.
///
/// # Errors
/// `missing-input` if there are none for an input, `input-name` if it is not clear which are for which.
pub fn assigned(info: &ModelInfo, inputs: &[String], count: usize) -> Result<Vec<usize>, StageError> {
    let reads: Vec<&str> = info.embeddings.iter().map(|joined| joined.name.as_str()).collect();
    if !inputs.is_empty() && inputs.len() != count {
        let text = format!(
            "`as` has {}, but `embeddings` has {}",
            counted(inputs.len() as u64, "name", "names"),
            counted(count as u64, "stage", "stages")
        );
        return Err(StageError::input("input-name", text).hint("write one name for each stage, in order").field("as"));
    }
    match (reads.as_slice(), inputs, count) {
        ([], ..) => return Ok(Vec::new()),
        ([_], [], 1) => return Ok(vec![0]),
        (_, [], 1..) => {
            let text = format!("the model reads embeddings as {}; say which are which", names(reads.iter().copied()));
            let hint = "write one name for each stage after `as`, in the order of `embeddings`";
            return Err(StageError::input("input-name", text).hint(hint).field("embeddings"));
        }
        _ => {}
    }
    let position = |name: &&str| {
        inputs.iter().position(|given| given == name).ok_or_else(|| {
            let text = format!("the model reads embeddings as `{name}`, but gets none under that name");
            let hint = match near(name, inputs.iter().map(String::as_str)) {
                Some(near) => format!("write `as {name}` instead of `as {near}`"),
                None if reads.len() == 1 => "add the embeddings of these photographs: `embeddings STAGE`".to_owned(),
                None => {
                    let stages = vec!["STAGE"; reads.len()].join(" ");
                    format!("add those of these photographs: `embeddings {stages}; as {}`", reads.join(" "))
                }
            };
            let field = if inputs.is_empty() { "model" } else { "as" };
            StageError::input("missing-input", text).hint(hint).field(field)
        })
    };
    reads.iter().map(position).collect()
}

/// The given embeddings that a model reads, in the order of its inputs.
///
/// # Errors
/// As [`assigned`] and [`same_encoder`]; errors of the store.
pub fn read_given(
    info: &ModelInfo,
    inputs: &[String],
    given: &[Named],
    objects: &Objects,
) -> Result<Vec<GivenEmbeddings>, StageError> {
    let read = |(ours, at): (&JoinedEmbeddings, usize)| {
        let theirs = Embeddings::read(&given[at].tree, objects)?;
        same_encoder(ours, &theirs.info, "these photographs").map_err(|error| error.field("embeddings"))?;
        Ok((JoinedEmbeddings { info: theirs.info.clone(), ..ours.clone() }, theirs))
    };
    info.embeddings.iter().zip(assigned(info, inputs, given.len())?).map(read).collect()
}

/// Adds to the items of photographs what the model reads of each ([`JoinedEmbeddings::values`]).
///
/// # Errors
/// `missing-embedding` if a photograph has none; errors of the store.
pub fn give(items: &mut [Item], given: &[GivenEmbeddings], objects: &Objects) -> Result<(), StageError> {
    for (joined, embeddings) in given {
        let description = joined.write(objects)?;
        let zero = joined.control == Control::Zero;
        if !zero {
            embeddings.cover(items.iter().map(|item| item.name.as_str()))?;
        }
        for item in &mut *items {
            item.tree.insert(JoinedEmbeddings::file(&joined.name), description);
            if let Some(entry) = embeddings.find(&item.name).filter(|_| !zero) {
                item.tree.insert(JoinedEmbeddings::photograph_file(&joined.name, &item.name), entry);
            }
        }
    }
    Ok(())
}

/// Warning if a model was trained with embeddings of other patients, as a control: a photograph by itself has no others.
#[must_use]
pub fn control_warning(info: &ModelInfo) -> Option<Warning> {
    let joined = info.embeddings.iter().find(|joined| joined.control == Control::Other)?;
    let text = format!(
        "the model was trained with embeddings of other patients as `{}`, but each photograph is scored with its own",
        joined.name
    );
    Some(Warning { code: "control-embeddings".to_owned(), text })
}
