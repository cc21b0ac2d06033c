//! Joining patches with embeddings of their photographs. Copies no values.

use std::collections::BTreeSet;

use super::embeddings::{Control, Embeddings, EmbeddingsInfo, JoinedEmbeddings};
use super::patches::{Part, PatchSet};
use crate::base::Streams;
use crate::stage::StageError;
use crate::store::Objects;

/// Gives the patches of `set` the embeddings of their photographs under `name`.
///
/// # Errors
/// `missing-embedding` if a photograph has none, `no-other-patient` if the control needs a second patient, and errors of the store.
pub fn join(
    set: &PatchSet,
    embeddings: &Embeddings,
    name: &str,
    control: Control,
    streams: &Streams,
    objects: &Objects,
) -> Result<PatchSet, StageError> {
    let used = set.parts.iter().filter(|part| !part.rows.is_empty());
    embeddings.cover(used.map(|part| part.photograph.as_str()))?;
    let mut joined = set.clone();
    joined.embeddings.retain(|present| present.name != name);
    joined.embeddings.push(JoinedEmbeddings { name: name.to_owned(), info: embeddings.info.clone(), control });
    joined.embeddings.sort_by(|one, other| one.name.cmp(&other.name));
    let zero = match control {
        Control::Zero => Some(objects.put(&zeros(&embeddings.info)?)?),
        Control::None | Control::Other => None,
    };
    let sources = match control {
        Control::Other => others(set, streams)?,
        Control::None | Control::Zero => (0..set.parts.len()).collect(),
    };
    for (part, source) in joined.parts.iter_mut().zip(sources) {
        let entry = zero.or_else(|| embeddings.find(&set.parts[source].photograph));
        // `cover` found one for every photograph with patches.
        part.embeddings.extend(entry.map(|entry| (name.to_owned(), entry)));
    }
    Ok(joined)
}

fn zeros(info: &EmbeddingsInfo) -> Result<Vec<u8>, StageError> {
    info.file(&vec![0.0; info.len()])
}

/// For each photograph with patches, one of another patient: the next one in a random order of all photographs in the set. A further
/// photograph therefore changes that of one other photograph, or of few if a patient has several.
fn others(set: &PatchSet, streams: &Streams) -> Result<Vec<usize>, StageError> {
    let used: Vec<usize> = (0..set.parts.len()).filter(|at| !set.parts[*at].rows.is_empty()).collect();
    let mut order = used.clone();
    order.sort_by_key(|at| {
        let part = &set.parts[*at];
        (streams.rank("other", 0, part.digest.bytes()), part.photograph.clone())
    });
    let patients: BTreeSet<String> = used.iter().map(|at| patient(&set.parts[*at])).collect();
    if patients.len() == 1 {
        let text = "`control other` needs photographs of at least two patients, but the patches are of one";
        return Err(StageError::input("no-other-patient", text).field("control"));
    }
    let mut sources: Vec<usize> = (0..set.parts.len()).collect();
    for (place, &at) in order.iter().enumerate() {
        let following = order.iter().cycle().skip(place + 1).take(order.len());
        let differs = |other: &&usize| patient(&set.parts[**other]) != patient(&set.parts[at]);
        if let Some(other) = following.into_iter().find(differs) {
            sources[at] = *other;
        }
    }
    Ok(sources)
}

/// The patient, or the photograph's content if the patient is unknown: a copy under another name is the same photograph.
fn patient(part: &Part) -> String {
    part.patient.as_ref().map_or_else(|| format!("photograph {}", part.digest), |name| format!("patient {name}"))
}
