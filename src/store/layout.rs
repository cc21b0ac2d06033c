//! File layout of a store. The layout version is a folder name, so that a later version can live next to it.
//!
//! ```text
//! .macula/
//!   .gitignore, CACHEDIR.TAG        exclude the store from git and backups; in `v1/` if the folder holds other things
//!   v1/
//!     objects/ab/cdef…              bytes, by BLAKE3 digest; read-only, complete, flushed to disk
//!     objects/incoming/PID-…/       new bytes of a running process, not yet published
//!     objects/quarantine/           damaged bytes, for inspection; may be deleted
//!     actions/ab/KEY.TARGET         a key's result: outputs, summary, provenance
//!     items/DIGEST                  results of a map stage's items, append-only
//!     claims/KEY                    locked by the process that computes the key
//!     partial/KEY/                  checkpoints of an unfinished key
//!     runs/TIME-ID/                 what a run decided and did
//!     looks/DIGEST                  cached result of a source, valid while the files that it asked for are unchanged
//!     files                         digests of external files, valid while size, times and inode are unchanged
//!     whole                         complete trees, valid while the object folders are unchanged
//!     live/PID-…                    lease, locked by a running process: what it uses and collection must keep
//!     pins/RUN                      runs that collection keeps
//!     jobs/KEY/                     an order to a cluster: what its job computes, the job's log, attempts
//!     bin/DIGEST/macula             copies of macula that jobs run
//!     gate                          locked by collection while it deletes
//! ```

use std::path::{Path, PathBuf};

use super::StoreError;
use crate::base::{Digest, disk};

/// The layout version that this macula reads and writes.
const NEWEST: u32 = 1;

/// Its folder name.
const VERSION: &str = "v1";

/// The paths of a store.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
    version: PathBuf,
}

impl Layout {
    /// The layout below `root` (`.macula`); creates missing folders.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let layout = Self { root: root.to_owned(), version: root.join(VERSION) };
        layout.understood()?;
        // Marking a folder of the user's (`store ".."`) would exclude it from git and backups: there, only `v1` is
        // macula's.
        let marked = if is_own(root) { root } else { &layout.version };
        make(root)?;
        for folder in ["", "objects", "actions", "items", "claims", "partial", "runs"] {
            make(&layout.version.join(folder))?;
        }
        for (name, text) in [
            (MARKS[0], "*\n"),
            (
                MARKS[1],
                "Signature: 8a477f597d28d172789f06886806bc55\n# Made by macula; everything here can be computed again.\n",
            ),
        ] {
            let path = marked.join(name);
            if !path.exists() {
                disk::write_lightly(&path, text.as_bytes()).map_err(StoreError::disk("write", &path))?;
            }
        }
        Ok(layout)
    }

    /// The layout below `root`, if it exists.
    #[must_use]
    pub fn at(root: &Path) -> Option<Self> {
        let layout = Self { root: root.to_owned(), version: root.join(VERSION) };
        layout.version.is_dir().then_some(layout)
    }

    /// Refuses a store that only a newer macula can read: everything in it would be computed again.
    fn understood(&self) -> Result<(), StoreError> {
        let names = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let versions = names.filter_map(|entry| entry.file_name().to_str()?.strip_prefix('v')?.parse::<u32>().ok());
        let newest = versions.max();
        match newest {
            Some(version) if version > NEWEST && !self.version.is_dir() => {
                Err(StoreError::Version { path: self.root.clone(), version })
            }
            _ => Ok(()),
        }
    }

    /// The store's root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of content-addressed objects.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.version.join("objects")
    }

    /// The folder that holds the records of `key`.
    #[must_use]
    pub fn actions(&self, key: &Digest) -> PathBuf {
        self.version.join("actions").join(&key.to_string()[..2])
    }

    /// The record of `key` for one target.
    #[must_use]
    pub fn action(&self, key: &Digest, target: &str) -> PathBuf {
        self.actions(key).join(format!("{}.{}", &key.to_string()[2..], file_name(target)))
    }

    /// The item segment of a map stage.
    #[must_use]
    pub fn items(&self, stage: &Digest) -> PathBuf {
        self.version.join("items").join(stage.to_string())
    }

    /// The claim file of a key.
    #[must_use]
    pub fn claim(&self, key: &Digest) -> PathBuf {
        self.version.join("claims").join(key.to_string())
    }

    /// The checkpoint folder of a key.
    #[must_use]
    pub fn partial(&self, key: &Digest) -> PathBuf {
        self.version.join("partial").join(key.to_string())
    }

    /// The cached listing of a source.
    #[must_use]
    pub fn snapshot(&self, source: &Digest) -> PathBuf {
        self.all_snapshots().join(source.to_string())
    }

    /// The folder of cached source listings.
    #[must_use]
    pub fn all_snapshots(&self) -> PathBuf {
        self.version.join("looks")
    }

    /// The folder of run records.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.version.join("runs")
    }

    /// The index of run records.
    #[must_use]
    pub fn runs_index(&self) -> PathBuf {
        self.version.join("runs-index")
    }

    /// The folder of all result records.
    #[must_use]
    pub fn all_actions(&self) -> PathBuf {
        self.version.join("actions")
    }

    /// The folder of all item segments.
    #[must_use]
    pub fn all_items(&self) -> PathBuf {
        self.version.join("items")
    }

    /// The folder of all checkpoints.
    #[must_use]
    pub fn all_partial(&self) -> PathBuf {
        self.version.join("partial")
    }

    /// The folder of leases: what running processes use.
    #[must_use]
    pub fn live(&self) -> PathBuf {
        self.version.join("live")
    }

    /// The folder of pins: runs that collection keeps.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.version.join("pins")
    }

    /// The folder of orders to a cluster.
    #[must_use]
    pub fn jobs(&self) -> PathBuf {
        self.version.join("jobs")
    }

    /// The folder of the order of a key.
    #[must_use]
    pub fn job(&self, key: &Digest) -> PathBuf {
        self.jobs().join(key.to_string())
    }

    /// The folder of copies of macula.
    #[must_use]
    pub fn binaries(&self) -> PathBuf {
        self.version.join("bin")
    }

    /// The lock file that collection holds while it deletes.
    #[must_use]
    pub fn gc_lock(&self) -> PathBuf {
        self.version.join("gate")
    }

    /// The file of trees that are known to be complete.
    #[must_use]
    pub fn whole(&self) -> PathBuf {
        self.version.join("whole")
    }

    /// The cache of digests of external files.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.version.join("files")
    }
}

/// The files that exclude a folder from git and backups.
const MARKS: [&str; 2] = [".gitignore", "CACHEDIR.TAG"];

/// Whether a folder holds nothing but a store, or does not exist yet.
fn is_own(root: &Path) -> bool {
    let names = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let is_version = |name: &String| name.strip_prefix('v').is_some_and(|digits| digits.parse::<u32>().is_ok());
    let of_store = |name: &String| is_version(name) || MARKS.contains(&name.as_str());
    names.is_empty() || names.iter().all(of_store) && names.iter().any(is_version)
}

/// A target as part of a file name.
fn file_name(target: &str) -> String {
    target.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn make(folder: &Path) -> Result<(), StoreError> {
    disk::make_folder(folder).map_err(StoreError::disk("create", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_macula_s_own_is_marked_as_a_cache() {
        let place = tempfile::tempdir().expect("a folder");
        let root = place.path().join("own");
        for _ in ["made", "opened again"] {
            let layout = Layout::open(&root).expect("opened");
            assert!(MARKS.iter().all(|mark| root.join(mark).exists() && !layout.version.join(mark).exists()));
            std::fs::remove_file(root.join(MARKS[1])).expect("removed");
        }
        std::fs::write(place.path().join("thesis.tex"), "").expect("written");
        for _ in ["made", "opened again"] {
            let layout = Layout::open(place.path()).expect("opened");
            assert!(MARKS.iter().all(|mark| !place.path().join(mark).exists() && layout.version.join(mark).exists()));
        }
        let empty = tempfile::tempdir().expect("a folder");
        std::fs::write(empty.path().join(MARKS[0]), "*.aux\n").expect("written");
        Layout::open(empty.path()).expect("opened");
        assert!(!empty.path().join(MARKS[1]).exists());
    }
}
