//! Patch sets as a data set in the format of `MLCommons` (Croissant 1.0). Knows no pack.

use std::collections::BTreeSet;

use serde_json::{Value, json};

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

/// The text of the file for patch sets of the pipeline `name`, made on `date` (`2026-11-23`).
///
/// # Errors
/// A bug, if the format's own context is malformed.
pub fn text(name: &str, date: &str, sets: &[DescribedPatches]) -> Result<String, StageError> {
    let context: Value = serde_json::from_str(CONTEXT).map_err(|error| StageError::Bug(error.to_string()))?;
    let set = json!({
        "@context": context,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": format!(
            "Labelled patches of photographs, as the macula pipeline `{name}` extracted them. A label is 1 (present), 0 (absent) or \
             missing (unknown). Pixels are those of the photographs, at the given places."
        ),
        "datePublished": date,
        "license": "not stated",
        "version": "1.0.0",
        "distribution": sets.iter().map(DescribedPatches::files).collect::<Value>(),
        "recordSet": sets.iter().map(DescribedPatches::records).collect::<Value>(),
    });
    Ok(format!("{set:#}\n"))
}

/// Patches of a stage.
#[derive(Debug)]
pub struct DescribedPatches<'a> {
    /// The stage.
    pub stage: &'a str,
    /// The classes of its labels.
    pub classes: Vec<&'a str>,
    /// Paths of its tables.
    pub parts: BTreeSet<&'a str>,
}

impl DescribedPatches<'_> {
    fn files(&self) -> Value {
        json!({
            "@type": "cr:FileSet", "@id": self.stage, "name": self.stage,
            "description": format!("Patches of `{}`, a file for each photograph", self.stage),
            "encodingFormat": "application/x-parquet", "includes": self.parts,
        })
    }

    fn records(&self) -> Value {
        let id = format!("{}/patches", self.stage);
        let field = |name: &str, ty: &str, words: &str| {
            json!({
                "@type": "cr:Field", "@id": format!("{id}/{name}"), "name": name, "description": words, "dataType": ty,
                "source": {"fileSet": {"@id": self.stage}, "extract": {"column": name}},
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
            "@type": "cr:RecordSet", "@id": id, "name": format!("{} patches", self.stage),
            "field": columns.chain(classes).collect::<Value>(),
        })
    }
}
