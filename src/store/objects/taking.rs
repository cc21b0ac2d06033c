//! Files that become objects without a copy: what a command left on the store's disk is moved.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Entry, Objects, StoreError, disk};
use crate::store::files::digest_of_file;

/// Numbers what is moved, for names that nothing else has.
static TAKEN: AtomicU64 = AtomicU64::new(0);

impl Objects {
    /// Makes the file at `path` an object. It is moved where it lies on the store's disk under this one name, else copied, so
    /// afterwards it may be gone. Nobody may write to it any more.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn take(&self, path: &Path) -> Result<Entry, StoreError> {
        let Some(file) = self.moved(path)? else { return self.copied(path) };
        let opened = file.reopen().map_err(StoreError::disk("read", path))?;
        let entry = digest_of_file(opened).map_err(StoreError::disk("read", path))?;
        if !self.relies_on(&entry) {
            disk::begin_writing(file.as_file());
            self.adopt(file, entry)?;
        }
        Ok(entry)
    }

    /// The file among this process's new ones; [`None`] where it can't be moved there.
    fn moved(&self, path: &Path) -> Result<Option<tempfile::NamedTempFile>, StoreError> {
        let facts = fs::symlink_metadata(path).map_err(StoreError::disk("read", path))?;
        let folder = self.incoming()?;
        // Under a second name somebody may still write to it. That it belongs to this user shows when its permissions are set.
        let own = folder.metadata().is_ok_and(|folder| folder.dev() == facts.dev()) && facts.nlink() == 1;
        if !own || !facts.is_file() || fs::set_permissions(path, Permissions::from_mode(0o644)).is_err() {
            return Ok(None);
        }
        let place = folder.join(format!("taken-{}", TAKEN.fetch_add(1, Ordering::Relaxed)));
        if fs::rename(path, &place).is_err() {
            return Ok(None);
        }
        let named = |path: PathBuf| tempfile::TempPath::try_from_path(path).map_err(StoreError::disk("keep", &place));
        let file = File::open(&place).map_err(StoreError::disk("open", &place))?;
        Ok(Some(tempfile::NamedTempFile::from_parts(file, named(place.clone())?)))
    }

    fn copied(&self, path: &Path) -> Result<Entry, StoreError> {
        let mut file = File::open(path).map_err(StoreError::disk("read", path))?;
        let mut writer = self.writer()?;
        std::io::copy(&mut file, &mut writer).map_err(StoreError::disk("copy", path))?;
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_on_the_stores_disk_is_moved_and_one_with_a_second_name_is_copied() {
        let place = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(&place.path().join("objects")).expect("a store");
        let [alone, twice, other] = ["alone", "twice", "other"].map(|name| place.path().join(name));
        fs::write(&alone, "bytes").expect("written");
        let inode = alone.metadata().expect("there").ino();
        fs::write(&twice, "more bytes").expect("written");
        fs::hard_link(&twice, &other).expect("linked");
        let [one, two] = [&alone, &twice].map(|path| objects.take(path).expect("taken"));
        assert!(!alone.exists() && twice.exists());
        // What others may still write to is not the object.
        fs::write(&other, "less").expect("written");
        objects.publish().expect("published");
        assert_eq!(
            (&objects.read(&one).expect("read")[..], &objects.read(&two).expect("read")[..]),
            (&b"bytes"[..], &b"more bytes"[..])
        );
        let stored = objects.own_facts(&one).expect("there");
        assert_eq!((stored.ino(), stored.mode() & 0o777), (inode, 0o444));
    }

    #[test]
    fn the_same_bytes_are_one_object_however_often_they_are_taken() {
        let place = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(&place.path().join("objects")).expect("a store");
        let paths = [0, 1, 2].map(|at| place.path().join(at.to_string()));
        for path in &paths {
            fs::write(path, "bytes").expect("written");
            objects.take(path).expect("taken");
            objects.publish().expect("published");
        }
        assert!(paths.iter().all(|path| !path.exists()));
        let left = fs::read_dir(place.path().join("objects/incoming")).expect("listed").flatten();
        let left: Vec<_> = left
            .flat_map(|own| fs::read_dir(own.path()).expect("listed").flatten())
            .map(|file| file.file_name())
            .collect();
        assert_eq!(left, ["lock"]);
    }
}
