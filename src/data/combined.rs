//! Embeddings by several encoders as one set: each photograph gets the mean of those that it has.

use std::collections::BTreeMap;

use super::embeddings::{EmbeddingValues, Embeddings, EmbeddingsInfo};
use crate::base::{Digest, Hasher};
use crate::stage::StageError;
use crate::store::{Entry, Objects};

/// Combined embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct Combined {
    /// The embeddings.
    pub embeddings: Embeddings,
    /// Number of different encoders.
    pub encoders: usize,
    /// Number of photographs that got a mean.
    pub means: usize,
}

/// Combines sets of embeddings, each with its name for messages. Values of different encoders are only comparable if they are scores of the
/// same classes; those of one encoder always are.
///
/// # Errors
/// `mixed-encoders` if the sets are not comparable; errors of the store.
pub fn combine(sets: &[(&str, Embeddings)], objects: &Objects) -> Result<Combined, StageError> {
    let [(first_name, first), others @ ..] = sets else {
        return Err(StageError::Bug("no embeddings to combine".to_owned()));
    };
    others.iter().try_for_each(|(name, other)| comparable((first_name, first), (name, other)))?;
    let mut encoders: Vec<Digest> = Vec::new();
    let mut photographs: BTreeMap<&str, Vec<(Digest, Entry)>> = BTreeMap::new();
    for (_, set) in sets {
        let encoder = set.info.encoder;
        if !encoders.contains(&encoder) {
            encoders.push(encoder);
        }
        for (name, entry) in &set.photographs {
            let found = photographs.entry(name).or_default();
            match found.iter().find(|(other, _)| *other == encoder) {
                None => found.push((encoder, *entry)),
                Some((_, same)) if same == entry => {}
                Some(_) => {
                    let text = format!("two different photographs are called `{name}`");
                    return Err(mixed(text).hint("give them different names before encoding them"));
                }
            }
        }
    }
    let info =
        EmbeddingsInfo { encoder: of_all(&encoders), description: described(first, &encoders), ..first.info.clone() };
    let means = photographs.values().filter(|found| found.len() > 1).count();
    let entry = |(name, found): (&str, Vec<(Digest, Entry)>)| {
        let entry = match found.as_slice() {
            [(_, only)] => *only,
            several => objects.put(&info.file(&mean(name, several, &info, objects)?)?)?,
        };
        Ok::<_, StageError>((name.to_owned(), entry))
    };
    let photographs = photographs.into_iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Combined { embeddings: Embeddings { info, photographs }, encoders: encoders.len(), means })
}

/// Digest of several encoders, in their order; that of a single one is its own.
fn of_all(encoders: &[Digest]) -> Digest {
    if let [only] = encoders {
        return *only;
    }
    let mut digest = Hasher::new("macula combined encoders 1");
    digest.int(encoders.len() as u64);
    for encoder in encoders {
        digest.digest(encoder);
    }
    digest.finish()
}

fn described(first: &Embeddings, encoders: &[Digest]) -> String {
    match encoders.len() {
        1 => first.info.description.clone(),
        several => format!("{several} encoders, the first {}", first.info.description),
    }
}

/// Means of the values of a photograph, in double precision and in the order of the encoders.
fn mean(
    photograph: &str,
    found: &[(Digest, Entry)],
    info: &EmbeddingsInfo,
    objects: &Objects,
) -> Result<Vec<f32>, StageError> {
    let mut sums = vec![0.0; info.len()];
    let mut values = vec![0.0; info.len()];
    for (_, entry) in found {
        EmbeddingValues::open(entry, photograph, info, objects)?.copy_to(&mut values);
        sums.iter_mut().zip(&values).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    Ok(sums.into_iter().map(|sum| (sum / found.len() as f64) as f32).collect())
}

fn comparable((first_name, first): (&str, &Embeddings), (name, other): (&str, &Embeddings)) -> Result<(), StageError> {
    let (ours, theirs) = (&first.info, &other.info);
    if ours.encoder == theirs.encoder && ours == theirs {
        return Ok(());
    }
    if ours.classes.is_empty() || theirs.classes.is_empty() {
        let text = format!(
            "`{first_name}` and `{name}` are features of different encoders ({}; {}), whose numbers mean different things",
            ours.description, theirs.description
        );
        return Err(mixed(text)
            .hint("encode with whole classifiers (`network resnet18`, without `to=`): their scores are comparable"));
    }
    if ours.classes != theirs.classes {
        let (ours, theirs) = (ours.classes.join(" "), theirs.classes.join(" "));
        let text = format!("`{first_name}` has scores of `{ours}`, but `{name}` of `{theirs}`");
        return Err(mixed(text).hint("train the encoders on the same classes"));
    }
    if ours.shape() != theirs.shape() || ours.store != theirs.store {
        let text =
            format!("`{first_name}` has {}, but `{name}` has {}, or another precision", ours.shape(), theirs.shape());
        return Err(mixed(text).hint("use the same `network` and `store` in each `encode`"));
    }
    Ok(())
}

fn mixed(text: String) -> StageError {
    StageError::input("mixed-encoders", text).field("of")
}
