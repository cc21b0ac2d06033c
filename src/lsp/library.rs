//! The standard library as files that an editor can open, written read-only to the user's cache folder on demand.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::{Digest, disk};
use crate::lang::stdlib::MODULES;
use crate::run::Host;

/// Location of the library's files.
pub(super) struct Library {
    folder: PathBuf,
}

impl Library {
    /// A folder in `XDG_CACHE_HOME`, else `~/.cache`, else the temporary folder. Its name contains the digest of the texts, so
    /// that several versions of macula can coexist.
    pub(super) fn new(host: &Host) -> Self {
        let cache = host.cache().unwrap_or_else(|| std::env::temp_dir().join("macula"));
        let texts: Vec<&str> = MODULES.iter().flat_map(|(name, text)| [*name, *text]).collect();
        let digest = Digest::of(texts.join("\0").as_bytes());
        Self { folder: cache.join(format!("std-{}", digest.short())) }
    }

    /// The file of a module (`stages/extract`), written if missing; [`None`] if the module is unknown or the file cannot be
    /// written.
    pub(super) fn file(&self, module: &str) -> Option<PathBuf> {
        let (name, text) = MODULES.iter().find(|(name, _)| *name == module)?;
        let path = self.folder.join(format!("{name}.kdl"));
        if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            return Some(path);
        }
        let folder = path.parent()?;
        fs::create_dir_all(folder).ok()?;
        // Through a temporary file: another server may be writing the same one.
        let mut file = tempfile::NamedTempFile::new_in(folder).ok()?;
        std::io::Write::write_all(&mut file, text.as_bytes()).ok()?;
        disk::permit(file.as_file(), 0o444).ok()?;
        file.persist(&path).ok()?;
        Some(path)
    }

    /// The module in a file of the library.
    pub(super) fn module(&self, path: &Path) -> Option<&'static str> {
        let below = path.strip_prefix(&self.folder).ok()?.with_extension("");
        MODULES.iter().map(|(name, _)| *name).find(|name| Path::new(name) == below)
    }
}
