//! Files outside the store whose bytes are objects. Many files may hold the same bytes (masks without lesions do), so a
//! digest does not identify a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::store::Entry;

/// External files by digest.
#[derive(Debug, Default)]
pub(super) struct ExternalFiles {
    /// The file found last.
    last: BTreeMap<Digest, PathBuf>,
    /// All files, for digests shared by several.
    all: BTreeMap<Digest, Vec<PathBuf>>,
    /// Which of several files stands at a path in a tree.
    at: BTreeMap<(Digest, String), PathBuf>,
}

impl ExternalFiles {
    pub(super) fn add(&mut self, entry: &Entry, path: &Path) {
        let Some(other) = self.last.insert(entry.digest, path.to_owned()).filter(|other| other != path) else { return };
        let all = self.all.entry(entry.digest).or_insert_with(|| vec![other]);
        if !all.iter().any(|known| known == path) {
            all.push(path.to_owned());
        }
    }

    /// Notes which file stands at a path in a tree, if others have the same bytes.
    pub(super) fn add_place(&mut self, entry: &Entry, place: &str, path: &Path) {
        if self.all.contains_key(&entry.digest) {
            self.at.insert((entry.digest, place.to_owned()), path.to_owned());
        }
    }

    /// The files that hold these bytes, the most likely first.
    pub(super) fn paths(&self, digest: &Digest) -> Vec<PathBuf> {
        let last = self.last.get(digest);
        let others = self.all.get(digest).into_iter().flatten().filter(|path| Some(*path) != last);
        last.into_iter().chain(others).cloned().collect()
    }

    /// The file at a path in a tree. A file whose path was not noted (no other file had its bytes then) is one that
    /// stands nowhere else.
    pub(super) fn at(&self, digest: &Digest, place: &str) -> Option<&Path> {
        let Some(all) = self.all.get(digest) else { return self.last.get(digest).map(PathBuf::as_path) };
        let key = (*digest, place.to_owned());
        let noted = self.at.get(&key).or_else(|| {
            let placed = |path: &&PathBuf| self.at.iter().any(|((of, _), at)| of == digest && at == *path);
            all.iter().find(|path| !placed(path))
        });
        noted.or_else(|| self.last.get(digest)).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_same_bytes_are_distinguished_by_their_places() {
        let entry = |bytes: &[u8]| Entry { digest: Digest::of(bytes), size: bytes.len() as u64 };
        let (black, other) = (entry(b"black"), entry(b"other"));
        let mut outside = ExternalFiles::default();
        outside.add(&black, Path::new("one/a.png"));
        outside.add_place(&black, "a/mask.MA.png", Path::new("one/a.png"));
        outside.add(&other, Path::new("one/x.png"));
        for name in ["b", "c"] {
            outside.add(&black, Path::new(&format!("two/{name}.png")));
        }
        for name in ["b", "c"] {
            outside.add_place(&black, &format!("{name}/mask.MA.png"), Path::new(&format!("two/{name}.png")));
        }
        for (place, path) in [("a", "one/a.png"), ("b", "two/b.png"), ("c", "two/c.png")] {
            assert_eq!(outside.at(&black.digest, &format!("{place}/mask.MA.png")), Some(Path::new(path)));
        }
        assert_eq!(outside.at(&other.digest, "anything"), Some(Path::new("one/x.png")));
        assert_eq!(outside.paths(&black.digest).len(), 3);
        assert!(outside.paths(&entry(b"none").digest).is_empty());
    }
}
