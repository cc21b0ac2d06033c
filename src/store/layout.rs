//! Where things lie in a store. The version of the layout is a folder's name, so that a later one can stand beside it.
//!
//! ```text
//! .macula/
//!   .gitignore, CACHEDIR.TAG        neither git nor backups take it along; in `v1/` where other things lie in the folder
//!   v1/
//!     objects/ab/cdef…              bytes, under their BLAKE3 digest; read-only, whole, on the disk
//!     objects/incoming/PID-…/       new bytes of a living process, not yet in their place
//!     objects/quarantine/           bytes that were found damaged, for a look; may be deleted
//!     actions/ab/KEY.CLASS          a key's result: its outputs, its summary, how it came about
//!     items/DIGEST                  results of a map stage's items, append-only
//!     claims/KEY                    locked by the process that computes the key
//!     partial/KEY/                  checkpoints of a key that is not finished
//!     runs/TIME-ID/                 what a run decided and did
//!     looks/DIGEST                  what a source found, valid while no file that it asked for looks different
//!     files                         digests of files outside, trusted while size, time and inode stay
//!     whole                         results of many objects that were all there, valid while no folder of objects looks different
//!     live/PID-…                    locked by a living process: what it uses, which collection leaves alone
//!     pins/RUN                      runs that collection leaves alone
//!     gate                          locked by collection while it deletes
//! ```

use std::path::{Path, PathBuf};

use super::StoreError;
use crate::base::{Digest, disk};

/// The version of the layout that this macula reads and writes.
const NEWEST: u32 = 1;

/// Its folder.
const VERSION: &str = "v1";

/// The paths of a store.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
    version: PathBuf,
}

impl Layout {
    /// The layout below `root` (`.macula`); makes its folders where they are missing.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let layout = Self { root: root.to_owned(), version: root.join(VERSION) };
        layout.understood()?;
        // Marks would take a folder of the user's own (`store ".."`) out of git and of backups: what is macula's there is `v1`.
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

    /// The layout below `root`, where there is one.
    #[must_use]
    pub fn at(root: &Path) -> Option<Self> {
        let layout = Self { root: root.to_owned(), version: root.join(VERSION) };
        layout.version.is_dir().then_some(layout)
    }

    /// A store that a later macula made and this one has no part in is refused: what it holds would be computed twice.
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

    /// The store's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Content-addressed bytes.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.version.join("objects")
    }

    /// The folder that holds the records of `key`.
    #[must_use]
    pub fn actions(&self, key: &Digest) -> PathBuf {
        self.version.join("actions").join(&key.to_string()[..2])
    }

    /// The record of `key` in one realisation target.
    #[must_use]
    pub fn action(&self, key: &Digest, target: &str) -> PathBuf {
        self.actions(key).join(format!("{}.{}", &key.to_string()[2..], file_name(target)))
    }

    /// The segment of a map stage's items.
    #[must_use]
    pub fn items(&self, stage: &Digest) -> PathBuf {
        self.version.join("items").join(stage.to_string())
    }

    /// The claim of a key.
    #[must_use]
    pub fn claim(&self, key: &Digest) -> PathBuf {
        self.version.join("claims").join(key.to_string())
    }

    /// The checkpoints of a key.
    #[must_use]
    pub fn partial(&self, key: &Digest) -> PathBuf {
        self.version.join("partial").join(key.to_string())
    }

    /// What a source found the last time.
    #[must_use]
    pub fn snapshot(&self, source: &Digest) -> PathBuf {
        self.all_snapshots().join(source.to_string())
    }

    /// What all sources found the last time.
    #[must_use]
    pub fn all_snapshots(&self) -> PathBuf {
        self.version.join("looks")
    }

    /// The records of runs.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.version.join("runs")
    }

    /// What is asked of the records of runs most often.
    #[must_use]
    pub fn runs_index(&self) -> PathBuf {
        self.version.join("runs-index")
    }

    /// All records.
    #[must_use]
    pub fn all_actions(&self) -> PathBuf {
        self.version.join("actions")
    }

    /// All segments of items.
    #[must_use]
    pub fn all_items(&self) -> PathBuf {
        self.version.join("items")
    }

    /// The checkpoints of all keys.
    #[must_use]
    pub fn all_partial(&self) -> PathBuf {
        self.version.join("partial")
    }

    /// What living processes use.
    #[must_use]
    pub fn live(&self) -> PathBuf {
        self.version.join("live")
    }

    /// Runs that collection leaves alone.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.version.join("pins")
    }

    /// Locked by collection while it deletes.
    #[must_use]
    pub fn gc_lock(&self) -> PathBuf {
        self.version.join("gate")
    }

    /// Results whose objects were all there.
    #[must_use]
    pub fn whole(&self) -> PathBuf {
        self.version.join("whole")
    }

    /// The digests of files outside.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.version.join("files")
    }
}

/// The files that keep git and backups from taking a folder along.
const MARKS: [&str; 2] = [".gitignore", "CACHEDIR.TAG"];

/// Whether a folder holds nothing but a store, or will be made.
fn is_own(root: &Path) -> bool {
    let names = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let is_version = |name: &String| name.strip_prefix('v').is_some_and(|digits| digits.parse::<u32>().is_ok());
    let of_store = |name: &String| is_version(name) || MARKS.contains(&name.as_str());
    names.is_empty() || names.iter().all(of_store) && names.iter().any(is_version)
}

/// A target as part of a file's name.
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
