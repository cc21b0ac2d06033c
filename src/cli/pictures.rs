//! Images of an artifact: contact sheets of patch sets and of suspicious labels, galleries of photographs, overlays of heat maps, written
//! next to the results.

use std::path::{Path, PathBuf};

use super::Failure;
use super::artifact::StageArtifact;
use crate::data::canvas::Canvas;
use crate::data::patches::PatchSet;
use crate::data::{contact_sheet, gallery, heat};
use crate::learn::maps::Maps;
use crate::report::gather::ranked;
use crate::stage::StageError;
use crate::store::{Objects, StoreError, Tree};

/// Patches in one band of a contact sheet.
const ACROSS: usize = 10;
/// Photographs in a gallery.
const PHOTOGRAPHS: usize = 9;

/// Writes an image of each displayable output into `folder`; returns their paths.
///
/// # Errors
/// A store or disk error.
pub fn write(artifact: &StageArtifact, objects: &Objects, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    for (output, tree) in artifact.typed() {
        let Some(canvas) = picture(&output.ty, tree, objects)? else { continue };
        let name = if output.port == "out" { output.ty.as_str() } else { &output.port };
        let path = folder.join(format!("{name}.png"));
        std::fs::create_dir_all(folder).map_err(StoreError::disk("create", folder))?;
        crate::base::disk::write_lightly(&path, &canvas.png()).map_err(StoreError::disk("write", &path))?;
        written.push(path);
    }
    Ok(written)
}

fn picture(ty: &str, tree: &Tree, objects: &Objects) -> Result<Option<Canvas>, Failure> {
    match ty {
        "patches" | "views" => Ok(contact_sheet::sheet(&PatchSet::read(tree, objects)?, objects, ACROSS)?),
        "photographs" => Ok(gallery::gallery(tree, objects, PHOTOGRAPHS)?),
        "maps" => overlays(tree, objects),
        "analysis" => sheet_of_suspects(tree, objects),
        _ => Ok(None),
    }
}

/// The stored sheet of suspicious labels, if it is such an analysis.
fn sheet_of_suspects(tree: &Tree, objects: &Objects) -> Result<Option<Canvas>, Failure> {
    let Some(png) = objects.read_in(tree, "sheet.png")? else { return Ok(None) };
    Ok(Some(Canvas::of_png(&png).map_err(StageError::Bug)?))
}

/// The overlays of the photographs with the highest scores.
fn overlays(tree: &Tree, objects: &Objects) -> Result<Option<Canvas>, Failure> {
    let read =
        |name: &str| objects.read_in(tree, name)?.ok_or_else(|| StageError::Bug(format!("heat maps without `{name}`")));
    let bug = |text: String| StageError::Bug(text);
    let maps: Maps = serde_json::from_slice(&read("maps.json")?).map_err(|error| bug(error.to_string()))?;
    let overlay = |at: usize| {
        let name = &maps.photographs[at].photograph;
        Ok((name.clone(), read(&format!("{name}/overlay.png"))?.to_vec()))
    };
    let shown = ranked(&maps).into_iter().take(PHOTOGRAPHS).map(overlay).collect::<Result<Vec<_>, StageError>>()?;
    if shown.is_empty() {
        return Ok(None);
    }
    Ok(Some(heat::contact_sheet(&shown, maps.photographs.len()).map_err(bug)?))
}
