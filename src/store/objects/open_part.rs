//! Files of which only parts are read: slides of many gigabytes. All bytes are verified once per process, in a stream; after that, only
//! whether the file is still the same one.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Entry, Objects, StoreError, lock};
use crate::base::{Digest, disk, regular};

/// Bytes hashed at a time.
const PIECE: usize = 1 << 20;

/// File facts that change with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PartFacts {
    size: u64,
    inode: u64,
    modified: u64,
    changed: (i64, i64),
}

impl PartFacts {
    fn of(facts: &Metadata) -> Self {
        Self {
            size: facts.len(),
            inode: facts.ino(),
            modified: disk::modified(facts),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }
}

/// The file of a digest, and its facts when its bytes matched. Locked while they are verified: other threads wait instead of reading
/// gigabytes, too.
type VerifiedPart = Arc<Mutex<Option<(PathBuf, PartFacts)>>>;

/// Files whose bytes matched their digests in this process.
#[derive(Debug, Default)]
pub(super) struct VerifiedParts(Mutex<BTreeMap<Digest, VerifiedPart>>);

/// An open file with verified bytes, for reading parts of it.
#[derive(Debug)]
pub struct PartialRead {
    /// The file.
    pub file: File,
    path: PathBuf,
    facts: PartFacts,
}

impl PartialRead {
    /// Checks that the file was not changed while parts of it were read.
    ///
    /// # Errors
    /// [`StoreError::Changed`], [`StoreError::Disk`].
    pub fn finish(&self) -> Result<(), StoreError> {
        let facts = self.file.metadata().map_err(StoreError::disk("read", &self.path))?;
        if PartFacts::of(&facts) == self.facts { Ok(()) } else { Err(StoreError::Changed { path: self.path.clone() }) }
    }
}

impl Objects {
    /// The bytes of an entry as an open file, to read parts of it. Verified once per process; [`PartialRead::finish`] tells whether they changed
    /// since.
    ///
    /// # Errors
    /// As [`Objects::read`].
    pub fn open_part(&self, entry: &Entry) -> Result<PartialRead, StoreError> {
        let known = Arc::clone(lock(&self.parts.0).entry(entry.digest).or_default());
        // No work of others is done while this is locked: hashing uses no other threads.
        let mut known = lock(&known);
        if let Some((path, facts)) = &*known
            && let Some(opened) = open(path).ok().filter(|opened| opened.facts == *facts)
        {
            return Ok(opened);
        }
        *known = None;
        let opened = self.verified(entry)?;
        *known = Some((opened.path.clone(), opened.facts));
        Ok(opened)
    }

    /// Opens the file of an entry and verifies all of its bytes.
    fn verified(&self, entry: &Entry) -> Result<PartialRead, StoreError> {
        let own = self.own_path(&entry.digest);
        let outside = || lock(&self.external).paths(&entry.digest);
        let paths = own.map_or_else(outside, |own| vec![own]);
        let Some(first) = paths.first() else {
            // A remote may have it.
            self.read(entry)?;
            let path = self.own_path(&entry.digest).ok_or(StoreError::Missing { digest: entry.digest })?;
            return open(&path).map_err(StoreError::disk("read", &path));
        };
        let _span = tracing::debug_span!(target: "macula::store", "verify", bytes = entry.size).entered();
        let mut failure = None;
        for path in &paths {
            match open(path).and_then(|opened| Ok((digest(&opened.file)? == entry.digest, opened))) {
                Ok((true, opened)) => return Ok(opened),
                Ok((false, _)) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => failure = failure.or(Some(StoreError::Disk { doing: "read", path: path.clone(), error })),
            }
        }
        Err(failure.unwrap_or_else(|| StoreError::Changed { path: first.clone() }))
    }
}

fn open(path: &Path) -> io::Result<PartialRead> {
    let file = regular::open(path)?;
    let facts = PartFacts::of(&file.metadata()?);
    Ok(PartialRead { file, path: path.to_owned(), facts })
}

fn digest(mut file: &File) -> io::Result<Digest> {
    let (mut hasher, mut piece) = (blake3::Hasher::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Digest::from_bytes(*hasher.finalize().as_bytes())),
            read => _ = hasher.update(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_in_parts_only_while_it_has_the_bytes_of_its_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(&folder.path().join("objects")).expect("a store");
        let path = folder.path().join("slide.tif");
        std::fs::write(&path, b"level").expect("written");
        let entry = Entry { digest: Digest::of(b"level"), size: 5 };
        assert!(matches!(objects.open_part(&entry), Err(StoreError::Missing { .. })));
        objects.put_external([(&entry, path.as_path())]);
        let opened = objects.open_part(&entry).expect("its bytes");
        opened.finish().expect("unchanged");
        std::fs::write(&path, b"other").expect("written");
        assert!(matches!(opened.finish(), Err(StoreError::Changed { .. })));
        assert!(matches!(objects.open_part(&entry), Err(StoreError::Changed { .. })));
        let stored = objects.put(b"of the store").expect("put");
        objects.open_part(&stored).expect("its bytes").finish().expect("unchanged");
    }
}
