//! Folder for what is computed once per GPU and machine: compiled kernels and self-checks. Everything in it can be computed again, so
//! files that are missing, broken or cannot be written are no errors.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::base::disk;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Sets the folder for this process. Without it, nothing is kept.
pub fn cache_in(folder: PathBuf) {
    // Only the first call counts, as for every choice of a process.
    let _ = FOLDER.set(folder);
}

/// The folder, if it is known.
#[must_use]
pub fn cache_folder() -> Option<&'static Path> {
    FOLDER.get().map(PathBuf::as_path)
}

/// Writes a file of the folder atomically. Returns whether it could be written.
#[must_use]
pub fn keep(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    disk::make_folder(folder).and_then(|()| disk::write_lightly(&folder.join(name), bytes)).is_ok()
}
