//! Turns the output files of commands into objects, if possible by moving instead of copying them.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::Empty;

use super::{Entry, Objects, StoreError, disk};
use crate::base::Digest;
use crate::base::beneath::Beneath;
use crate::store::files::digest_while;

/// Counter for unique temporary names.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Bytes per copy step.
const PIECE: usize = 1 << 20;

impl Objects {
    /// Makes a file below `folder` an object. The file is moved if it is on the store's disk, has no other hard link
    /// and no writer, and is copied otherwise; it may be gone afterwards. Symbolic links are not followed. [`None`] if
    /// `on_progress` returned false.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn adopt_file(
        &self,
        folder: &Beneath,
        name: &str,
        on_progress: &dyn Fn() -> bool,
    ) -> Result<Option<Entry>, StoreError> {
        let span = tracing::debug_span!(target: "macula::store", "adopt", name, bytes = Empty).entered();
        let path = folder.path().join(name);
        let file = folder.file(name).map_err(StoreError::disk("read", &path))?;
        let taken = match self.try_move(folder, name, &file)? {
            Some(moved) if disk::nobody_writes(&file) => {
                let entry = digest_while(file, on_progress).map_err(StoreError::disk("read", &path))?;
                entry.map(|entry| (moved, entry))
            }
            // A file that was moved to the temporary path is removed once it was copied.
            _moved => self.copy_in(file, on_progress).map_err(StoreError::disk("copy", &path))?,
        };
        let Some((file, entry)) = taken else { return Ok(None) };
        span.record("bytes", entry.size);
        if !self.relies_on(&entry) {
            disk::begin_writing(file.as_file());
            // No writer was left when its digest was taken.
            self.adopt_written(file, entry)?;
        }
        Ok(Some(entry))
    }

    /// Moves the file to this process's new objects; [`None`] if it cannot be moved.
    fn try_move(
        &self,
        folder: &Beneath,
        name: &str,
        file: &File,
    ) -> Result<Option<tempfile::NamedTempFile>, StoreError> {
        let path = folder.path().join(name);
        let facts = file.metadata().map_err(StoreError::disk("read", &path))?;
        let incoming = self.incoming()?;
        // Someone may still write to it by another hard link. Setting its permissions fails unless it is this user's.
        let own = incoming.metadata().is_ok_and(|incoming| incoming.dev() == facts.dev()) && facts.nlink() == 1;
        if !own || file.set_permissions(Permissions::from_mode(0o444)).is_err() {
            return Ok(None);
        }
        let place = incoming.join(format!("taken-{}", TAKEN.fetch_add(1, Ordering::Relaxed)));
        if folder.rename(name, &place).is_err() {
            return Ok(None);
        }
        let named = |path: PathBuf| tempfile::TempPath::try_from_path(path).map_err(StoreError::disk("keep", &place));
        let named = named(place.clone())?;
        let there = place.symlink_metadata().map_err(StoreError::disk("read", &place))?;
        if (there.dev(), there.ino()) != (facts.dev(), facts.ino()) {
            // Left in place rather than deleted: it is not the file that was checked.
            let _ = named.keep();
            let error = io::Error::other("another file took its place");
            return Err(StoreError::Disk { doing: "take", path, error });
        }
        let file = file.try_clone().map_err(StoreError::disk("open", &place))?;
        Ok(Some(tempfile::NamedTempFile::from_parts(file, named)))
    }

    /// A private copy with its digest. Long runs of zeros become holes.
    fn copy_in(
        &self,
        mut from: File,
        on_progress: &dyn Fn() -> bool,
    ) -> io::Result<Option<(tempfile::NamedTempFile, Entry)>> {
        let mut copy = self.temporary().map_err(io::Error::other)?;
        if disk::share_bytes(&from, copy.as_file()) {
            let entry = digest_while(copy.reopen()?, on_progress)?;
            return Ok(entry.map(|entry| (copy, entry)));
        }
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; PIECE];
        let mut size = 0;
        while on_progress() {
            let read = from.read(&mut piece)?;
            let bytes = &piece[..read];
            if read == 0 {
                copy.as_file().set_len(size)?;
                let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
                return Ok(Some((copy, Entry { digest, size })));
            }
            hasher.update(bytes);
            size += read as u64;
            if bytes.iter().all(|byte| *byte == 0) {
                copy.seek(SeekFrom::Start(size))?;
            } else {
                copy.write_all(bytes)?;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use super::*;

    /// A folder with a store and another folder in it.
    fn place() -> (tempfile::TempDir, Objects, Beneath) {
        let place = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(&place.path().join("objects")).expect("a store");
        let outputs = place.path().join("outputs");
        fs::create_dir(&outputs).expect("a folder");
        let below = Beneath::open(&outputs).expect("a folder");
        (place, objects, below)
    }

    fn taken(objects: &Objects, folder: &Beneath, name: &str) -> Entry {
        objects.adopt_file(folder, name, &|| true).expect("taken").expect("not stopped")
    }

    #[test]
    fn a_file_on_the_stores_disk_is_moved_and_one_with_a_second_name_is_copied() {
        let (_place, objects, folder) = place();
        let [alone, twice, other] = ["alone", "twice", "other"].map(|name| folder.path().join(name));
        fs::write(&alone, "bytes").expect("written");
        let inode = alone.metadata().expect("there").ino();
        fs::write(&twice, "more bytes").expect("written");
        fs::hard_link(&twice, &other).expect("linked");
        let [one, two] = ["alone", "twice"].map(|name| taken(&objects, &folder, name));
        assert!(!alone.exists() && twice.exists());
        // What others may still write to is not the object.
        fs::write(&other, "less").expect("written");
        objects.publish().expect("published");
        assert_eq!(
            (&objects.read(&one).expect("read")[..], &objects.read(&two).expect("read")[..]),
            (&b"bytes"[..], &b"more bytes"[..])
        );
        let stored = objects.own_facts(&one).expect("there");
        assert_eq!(stored.mode() & 0o777, 0o444);
        if cfg!(target_os = "linux") {
            assert_eq!(stored.ino(), inode);
        }
    }

    #[test]
    fn a_file_that_somebody_has_open_for_writing_is_copied_as_it_was_when_it_was_taken() {
        let (_place, objects, folder) = place();
        let path = folder.path().join("open");
        let bytes = [&[7; 3000][..], &vec![0; 5 << 20], &[8; 3000]].concat();
        fs::write(&path, &bytes).expect("written");
        let mut writer = OpenOptions::new().write(true).open(&path).expect("open");
        let entry = taken(&objects, &folder, "open");
        writer.write_all(b"later").expect("written");
        objects.publish().expect("published");
        assert_eq!(entry, Entry { digest: Digest::of(&bytes), size: bytes.len() as u64 });
        assert_eq!(&objects.read(&entry).expect("read")[..], bytes);
        // Memory that the file is mapped into writes to it after the descriptor is gone.
        fs::write(&path, &bytes[1..]).expect("written");
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("open");
        #[expect(unsafe_code, reason = "that is what is tested")]
        // SAFETY: nothing else touches the file's length while it is mapped.
        let mut map = unsafe { memmap2::MmapMut::map_mut(&file) }.expect("mapped");
        drop(file);
        let entry = taken(&objects, &folder, "open");
        map[0] = 99;
        map.flush().expect("written");
        objects.publish().expect("published");
        assert_eq!(&objects.read(&entry).expect("read")[..], &bytes[1..]);
    }

    #[test]
    fn a_file_as_long_as_a_disk_is_let_go_of_when_asked_and_a_link_is_never_followed() {
        let (place, objects, folder) = place();
        File::create(folder.path().join("long")).and_then(|file| file.set_len(1 << 40)).expect("a long file");
        let asked = AtomicU64::new(0);
        let on_progress = || asked.fetch_add(1, Ordering::Relaxed) < 3;
        assert_eq!(objects.adopt_file(&folder, "long", &on_progress).expect("no failure"), None);
        assert_eq!(asked.into_inner(), 4, "it read on");
        fs::write(place.path().join("private"), "private").expect("written");
        std::os::unix::fs::symlink(place.path().join("private"), folder.path().join("link")).expect("a link");
        assert!(objects.adopt_file(&folder, "link", &|| true).is_err());
        assert!(place.path().join("private").exists());
    }

    #[test]
    fn the_same_bytes_are_one_object_however_often_they_are_taken() {
        let (place, objects, folder) = place();
        for name in ["0", "1", "2"] {
            fs::write(folder.path().join(name), "bytes").expect("written");
            taken(&objects, &folder, name);
            objects.publish().expect("published");
        }
        assert!(folder.files().is_ok_and(|left| left.is_empty()));
        let left = fs::read_dir(place.path().join("objects/incoming")).expect("listed").flatten();
        let left: Vec<_> = left
            .flat_map(|own| fs::read_dir(own.path()).expect("listed").flatten())
            .map(|file| file.file_name())
            .collect();
        assert_eq!(left, ["lock"]);
    }
}
