//! From a stage and its inputs to the manifest of its key. What is not added here does not count: names of stages, order in
//! the file, comments, threads, the text of the standard library.

use std::collections::BTreeMap;

use crate::base::{Digest, Hasher};
use crate::lang::spec::StageSpec;
use crate::lang::value::Value;
use crate::stage::{Determinism, Implementation, Inputs, Item, Named, StageError, Summary, Work};
use crate::store::{Artifact, EVERYWHERE, Kind, Manifest};

/// What all items of a stage share: the implementation, the seed if it is used, the parameters.
///
/// # Errors
/// [`StageError::Bug`] if a stage other than a source has a path: the spelling of a path must not count.
pub fn common(stage: &StageSpec, implementation: &Implementation) -> Result<Manifest, StageError> {
    let mut manifest = Manifest::default();
    manifest.text(Kind::Implementation, "implementation", implementation.name);
    manifest.int(Kind::Implementation, "version", u64::from(implementation.version_of(&stage.values())));
    if implementation.seeded {
        manifest.int(Kind::Seed, "seed", stage.seed);
    }
    for (name, value) in stage.keyed() {
        if holds_path(value) && !matches!(implementation.work, Work::Source(_)) {
            return Err(StageError::Bug(format!(
                "parameter `{name}` of `{}` is a path, but the stage is not a source",
                stage.stage_type
            )));
        }
        let mut hasher = Hasher::new("macula value 1");
        value.hash(&mut hasher);
        manifest.push(Kind::Parameter, name, value.to_string(), hasher.finish());
    }
    Ok(manifest)
}

/// The manifest of a stage: the shared part, and the content of its inputs.
///
/// # Errors
/// As [`common`].
pub fn manifest(stage: &StageSpec, implementation: &Implementation, inputs: &Inputs) -> Result<Manifest, StageError> {
    let given = |named: &Named| KeyInput {
        stage: named.stage.clone(),
        name: named.name.clone(),
        artifact: named.tree.clone().into(),
        summary: named.summary.clone(),
    };
    let of = inputs.0.iter().map(|(port, many)| (port.clone(), many.iter().map(given).collect()));
    of_given(stage, implementation, &of.collect())
}

/// A [`Named`] whose tree need not be read yet.
#[derive(Clone)]
pub(super) struct KeyInput {
    pub(super) stage: String,
    pub(super) name: String,
    pub(super) artifact: Artifact,
    /// Only for pages.
    pub(super) summary: Option<Summary>,
}

/// As [`manifest`], without reading the trees.
pub(super) fn of_given(
    stage: &StageSpec,
    implementation: &Implementation,
    inputs: &BTreeMap<String, Vec<KeyInput>>,
) -> Result<Manifest, StageError> {
    let mut manifest = common(stage, implementation)?;
    for (port, given) in inputs {
        let many = given.len() > 1;
        for (at, named) in given.iter().enumerate() {
            let path = if many { format!("{port}[{at}]") } else { port.clone() };
            let digest = named.artifact.digest();
            manifest.push(Kind::Input, &path, format!("{} {}", named.name, digest.short()), digest);
            if matches!(implementation.work, Work::Report(_)) {
                manifest.text(Kind::Name, &path, &named.name);
                if let Some(summary) = &named.summary {
                    let text = serde_json::to_vec(summary).map_err(|error| StageError::Bug(error.to_string()))?;
                    let digest = Digest::of(&text);
                    manifest.push(Kind::Summary, &path, format!("{} ({})", summary.headline, digest.short()), digest);
                }
            }
        }
    }
    Ok(manifest)
}

/// The key of one item.
#[must_use]
pub fn item(common: &Digest, item: &Item) -> Digest {
    Hasher::new("macula item key 1").digest(common).text(&item.name).digest(&item.tree.digest()).finish()
}

/// The target that a stage is computed on here.
#[must_use]
pub fn target(stage: &StageSpec, implementation: &Implementation) -> String {
    match implementation.determinism {
        Determinism::BitExact | Determinism::Unknown => EVERYWHERE.to_owned(),
        Determinism::PathExact { path, .. } => path(&stage.values()),
    }
}

/// Whether a value is or contains a path, whose spelling means nothing on another machine.
#[must_use]
pub fn holds_path(value: &Value) -> bool {
    match value {
        Value::Path(_) => true,
        Value::List(values) => values.iter().any(holds_path),
        Value::Map(values) => values.values().any(holds_path),
        _ => false,
    }
}
