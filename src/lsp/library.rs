//! The standard library as files that an editor can open: written to the user's cache folder, read-only, when one is asked for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::{Digest, disk};
use crate::lang::stdlib::MODULES;
use crate::run::World;

/// Where the texts lie.
pub(super) struct Library {
    folder: PathBuf,
}

impl Library {
    /// Below `XDG_CACHE_HOME`, else `~/.cache`, else the folder for temporary files. The folder's name holds the digest of
    /// the texts, so that several versions of macula stand side by side.
    pub(super) fn new(world: &World) -> Self {
        let absolute = |name| world.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        let cache = cache.unwrap_or_else(std::env::temp_dir);
        let texts: Vec<&str> = MODULES.iter().flat_map(|(name, text)| [*name, *text]).collect();
        let digest = Digest::of(texts.join("\0").as_bytes());
        Self { folder: cache.join("macula").join(format!("std-{}", digest.short())) }
    }

    /// The file of a module (`stages/extract`), written where it is not there yet; none where there is no such module or it
    /// can't be written.
    pub(super) fn file(&self, module: &str) -> Option<PathBuf> {
        let (name, text) = MODULES.iter().find(|(name, _)| *name == module)?;
        let path = self.folder.join(format!("{name}.kdl"));
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            return Some(path);
        }
        let folder = path.parent()?;
        fs::create_dir_all(folder).ok()?;
        // Beside its place first: another server may write the same.
        let mut file = tempfile::NamedTempFile::new_in(folder).ok()?;
        std::io::Write::write_all(&mut file, text.as_bytes()).ok()?;
        disk::permit(file.as_file(), 0o444).ok()?;
        file.persist(&path).ok()?;
        Some(path)
    }

    /// The module that a file of the library holds.
    pub(super) fn module(&self, path: &Path) -> Option<&'static str> {
        let below = path.strip_prefix(&self.folder).ok()?.with_extension("");
        MODULES.iter().map(|(name, _)| *name).find(|name| Path::new(name) == below)
    }
}
