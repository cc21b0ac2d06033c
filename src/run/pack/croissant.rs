//! The patch sets of a pack as a data set: `croissant.json`, in the format of MLCommons (Croissant 1.0).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::time;
use super::summary::{PackSummary, StageSummary};
use crate::stage::StageError;

/// Where names of the format lead.
const CONTEXT: &str = include_str!("croissant-context.json");

/// Columns of every patch set, their types, and what they are.
const COLUMNS: [(&str, &str, &str); 5] = [
    ("photograph", "sc:Text", "Name of the photograph that the patch is a part of"),
    ("digest", "sc:Text", "BLAKE3 digest of the photograph's file"),
    ("x", "sc:Integer", "Left edge of the patch in the scaled photograph, pixels"),
    ("y", "sc:Integer", "Upper edge of the patch in the scaled photograph, pixels"),
    ("index", "sc:Integer", "Number of the patch in its photograph"),
];

/// The text of the file; [`None`] if no patch set is inside.
///
/// # Errors
/// A bug, if the format's own context is malformed.
pub(super) fn text(summary: &PackSummary) -> Result<Option<String>, StageError> {
    let context: Value = serde_json::from_str(CONTEXT).map_err(|error| StageError::Bug(error.to_string()))?;
    let sets = summary.stages.iter().filter_map(|stage| Set::of(summary, stage));
    let sets: Vec<Set> = sets.filter(|set| !set.parts.is_empty()).collect();
    if sets.is_empty() {
        return Ok(None);
    }
    let name = &summary.contents.pipeline.name;
    let set = json!({
        "@context": context,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": format!(
            "Labelled patches of photographs, as the macula pipeline `{name}` extracted them. A label is 1 (present), 0 (absent) or \
             missing (unknown). Pixels are those of the photographs, at the given places."
        ),
        "datePublished": time::utc(summary.newest())[..10],
        "license": "https://spdx.org/licenses/NOASSERTION",
        "url": "https://kdl.dev",
        "version": "1.0.0",
        "distribution": sets.iter().map(Set::files).collect::<Value>(),
        "recordSet": sets.iter().map(Set::records).collect::<Value>(),
    });
    Ok(Some(format!("{set:#}\n")))
}

struct Set<'a> {
    stage: &'a StageSummary,
    classes: Vec<&'a str>,
    parts: BTreeSet<&'a str>,
}

impl<'a> Set<'a> {
    fn of(summary: &'a PackSummary<'_>, stage: &'a StageSummary) -> Option<Self> {
        let set = stage.patches.as_ref()?;
        let classes = set["classes"].as_array()?.iter().filter_map(Value::as_str).collect();
        let packed = summary.contents.results.iter().filter(|result| result.stage == stage.name);
        let files = packed.flat_map(|result| result.outputs.values().flatten());
        let parts = files.filter(|(name, _)| name.starts_with("parts/") && name.ends_with(".parquet"));
        Some(Self { stage, classes, parts: parts.map(|(_, file)| file.path.as_str()).collect() })
    }

    fn files(&self) -> Value {
        json!({
            "@type": "cr:FileSet", "@id": self.stage.name, "name": self.stage.name,
            "description": format!("Patches of `{}`, a file for each photograph", self.stage.name),
            "encodingFormat": "application/x-parquet", "includes": self.parts,
        })
    }

    fn records(&self) -> Value {
        let id = format!("{}/patches", self.stage.name);
        let field = |name: &str, ty: &str, words: &str| {
            json!({
                "@type": "cr:Field", "@id": format!("{id}/{name}"), "name": name, "description": words, "dataType": ty,
                "source": {"fileSet": {"@id": self.stage.name}, "extract": {"column": name}},
            })
        };
        let columns = COLUMNS.iter().map(|(name, ty, words)| field(name, ty, words));
        let classes = self.classes.iter().map(|class| {
            field(
                class,
                "sc:Integer",
                &format!("Label: whether the patch shows `{class}` (1), does not (0), or unknown"),
            )
        });
        json!({
            "@type": "cr:RecordSet", "@id": id, "name": format!("{} patches", self.stage.name),
            "field": columns.chain(classes).collect::<Value>(),
        })
    }
}
