//! Manifests: the single description of a key. Both hashing and `why` walk it, so the explanation cannot drift from the
//! key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};

/// Raised when the same facts must give a different key.
const KEY_FORMAT: u64 = 1;

/// Everything that a result depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The facts, in a fixed order.
    pub fields: Vec<Field>,
}

/// One fact that a result depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name: `loss.gamma`, `data`, `of[2]`, `seed`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Display text; not part of the key.
    pub shown: String,
    /// Digest of its content by the hashing rules; this is what the key covers.
    pub content: Digest,
}

/// What a [`Field`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The implementation's name or version.
    Implementation = 1,
    /// The pipeline's seed.
    Seed = 2,
    /// A parameter.
    Parameter = 3,
    /// The content given to an input port.
    Input = 4,
    /// The display name of an input; only part of the key for reports.
    Name = 5,
    /// The summary of the stage that an input came from; only part of the key for reports.
    Summary = 6,
    /// An item of a map stage.
    Item = 7,
    /// What a source found outside the store.
    Files = 8,
}

/// A fact that differs between two manifests; a side that lacks it is [`None`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// What it was.
    pub old: Option<String>,
    /// What it is now.
    pub new: Option<String>,
}

impl Manifest {
    /// Adds text.
    pub fn text(&mut self, kind: Kind, path: impl Into<String>, text: &str) {
        let content = Hasher::new("macula manifest text 1").text(text).finish();
        self.push(kind, path, text, content);
    }

    /// Adds a whole number.
    pub fn int(&mut self, kind: Kind, path: impl Into<String>, value: u64) {
        let content = Hasher::new("macula manifest integer 1").int(value).finish();
        self.push(kind, path, value.to_string(), content);
    }

    /// Adds a fact by the digest of its content.
    pub fn push(&mut self, kind: Kind, path: impl Into<String>, shown: impl Into<String>, content: Digest) {
        self.fields.push(Field { path: path.into(), kind, shown: shown.into(), content });
    }

    /// The key: a digest of all facts.
    #[must_use]
    pub fn key(&self) -> Digest {
        let mut hasher = Hasher::new("macula key 1");
        hasher.int(KEY_FORMAT).int(self.fields.len() as u64);
        for field in &self.fields {
            hasher.int(field.kind as u64).text(&field.path).digest(&field.content);
        }
        hasher.finish()
    }

    /// The facts of one kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| field.kind == kind)
    }

    /// Differences from an older manifest: changed and added facts in the order of this one, then removed facts.
    #[must_use]
    pub fn since(&self, old: &Self) -> Vec<Difference> {
        let index = |manifest: &Self| -> BTreeMap<(Kind, String), Field> {
            manifest.fields.iter().map(|field| ((field.kind, field.path.clone()), field.clone())).collect()
        };
        let before = index(old);
        let now = index(self);
        let mut found: Vec<Difference> = self
            .fields
            .iter()
            .filter_map(|field| {
                let old = before.get(&(field.kind, field.path.clone()));
                (old.is_none_or(|old| old.content != field.content)).then(|| Difference {
                    path: field.path.clone(),
                    kind: field.kind,
                    old: old.map(|old| old.shown.clone()),
                    new: Some(field.shown.clone()),
                })
            })
            .collect();
        found.extend(before.iter().filter(|(name, _)| !now.contains_key(name)).map(|((kind, path), field)| {
            Difference { path: path.clone(), kind: *kind, old: Some(field.shown.clone()), new: None }
        }));
        found
    }
}
