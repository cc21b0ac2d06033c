//! `results/<pipeline>/<stage>/`: the last outputs under names that people know, as links into the store.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::plan::Known;
use crate::store::{Objects, Tree};

/// Holds the digests of what a folder shows, so that an unchanged one is left alone.
const STAMP: &str = ".macula";

/// Links a stage's outputs below `folder`. Outputs that are linked there already are left alone.
///
/// # Errors
/// What the system says.
pub fn link(folder: &Path, stage: &str, known: &Known, objects: &Objects) -> io::Result<()> {
    let place = folder.join(stage);
    let stamp = stamp(&known.outputs);
    if std::fs::read_to_string(place.join(STAMP)).is_ok_and(|old| old == stamp) {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(folder)?;
    let several = known.outputs.len() > 1;
    for (port, tree) in &known.outputs {
        let below = if several { fresh.path().join(port) } else { fresh.path().to_owned() };
        fill(&below, tree, objects)?;
    }
    std::fs::write(fresh.path().join("README.txt"), readme(stage, known))?;
    std::fs::write(fresh.path().join(STAMP), stamp)?;
    let fresh = fresh.keep();
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755))?;
    }
    if place.exists() {
        // What a person put there is not macula's to delete.
        if !place.join(STAMP).exists() && std::fs::read_dir(&place)?.next().is_some() {
            std::fs::remove_dir_all(&fresh)?;
            return Err(io::Error::other(format!("`{}` was not made by macula", place.display())));
        }
        std::fs::remove_dir_all(&place)?;
    }
    std::fs::rename(&fresh, &place)
}

fn fill(folder: &Path, tree: &Tree, objects: &Objects) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    for (name, entry) in &tree.entries {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let Some(object) = objects.locate(entry) else { continue };
        place(&object.canonicalize()?, &path, entry.size)?;
    }
    Ok(())
}

/// A hard link: programs go by a file's ending, and those that follow a symbolic link (browsers do) would find the object's
/// name, which has none. A file outside the store has its ending and is the user's to move: a symbolic link. Across file
/// systems small files are copied, large ones linked symbolically.
fn place(object: &Path, path: &Path, size: u64) -> io::Result<()> {
    const SMALL: u64 = 16 << 20;
    let bare = object.extension().is_none();
    if bare && std::fs::hard_link(object, path).is_ok() {
        return Ok(());
    }
    if (!bare || size > SMALL) && std::os::unix::fs::symlink(object, path).is_ok() {
        return Ok(());
    }
    std::fs::copy(object, path).map(|_| ())
}

fn stamp(outputs: &BTreeMap<String, Tree>) -> String {
    let digests: BTreeMap<&String, Digest> = outputs.iter().map(|(port, tree)| (port, tree.digest())).collect();
    digests.iter().fold(String::new(), |mut text, (port, digest)| {
        let _ = writeln!(text, "{port} {digest}");
        text
    })
}

/// What the folder holds and how Python loads it.
fn readme(stage: &str, known: &Known) -> String {
    let several = known.outputs.len() > 1;
    let names: Vec<String> = known
        .outputs
        .iter()
        .flat_map(|(port, tree)| {
            tree.entries.keys().map(move |name| if several { format!("{port}/{name}") } else { name.clone() })
        })
        .collect();
    let mut text = format!("{stage}: {}\n", known.summary.headline);
    text.push_str("Links into macula's store, made anew by each run; copy what you want to change.\n\n");
    let loaders = [
        (".parquet", "import pandas; pandas.read_parquet(\"PATH\")"),
        (".safetensors", "from safetensors.numpy import load_file; load_file(\"PATH\")"),
        (".json", "import json; json.load(open(\"PATH\"))"),
    ];
    for (ending, loader) in loaders {
        if let Some(name) = names.iter().find(|name| name.ends_with(ending)) {
            text.push_str(&loader.replace("PATH", name));
            text.push('\n');
        }
    }
    text
}

/// Where the results of a pipeline are linked.
#[must_use]
pub fn folder(project: &Path, pipeline: &str) -> PathBuf {
    project.join("results").join(pipeline)
}
