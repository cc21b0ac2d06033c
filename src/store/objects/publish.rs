//! Publishing: flushes new objects to disk and renames them to their final paths.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::{Objects, StoreError, Use, at_once, disk};
use crate::base::Digest;
use crate::store::presence::MANY;

impl Objects {
    /// Flushes all new objects to disk and renames them to their final paths. Must precede any record that refers to
    /// them.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn publish(&self) -> Result<(), StoreError> {
        let _one = self.unpublished.publishing();
        let waiting: Vec<(Digest, PathBuf)> = self.unpublished.all();
        if waiting.is_empty() {
            return Ok(());
        }
        let _span = tracing::debug_span!(target: "macula::store", "publish", objects = waiting.len()).entered();
        // Many objects are flushed by one `syncfs`.
        let disk_as_one = waiting.len() >= MANY && self.sync_disk();
        let each = if disk_as_one { &[][..] } else { &waiting[..] };
        at_once(each, |(digest, path)| {
            let file = match File::open(path) {
                // An earlier attempt already renamed it.
                Err(error) if error.kind() == ErrorKind::NotFound => File::open(self.place(digest)),
                other => other,
            };
            file.and_then(|file| file.sync_data()).map_err(StoreError::disk("flush", path))
        })?;
        if let Some(lease) = &self.lease {
            lease.register(waiting.iter().map(|(digest, _)| Use::Object(*digest)));
        }
        let mut folders = BTreeSet::new();
        for (digest, temporary) in &waiting {
            let place = self.place(digest);
            let folder = place.parent().unwrap_or(&self.root).to_owned();
            if !folders.contains(&folder) {
                disk::make_folder(&folder).map_err(StoreError::disk("create", &folder))?;
                folders.insert(folder);
            }
            match std::fs::rename(temporary, &place) {
                Err(error) if error.kind() == ErrorKind::NotFound && place.exists() => {}
                other => other.map_err(StoreError::disk("rename into", &place))?,
            }
            self.quarantine.replaced(digest);
        }
        folders.insert(self.root.clone());
        let folders: Vec<PathBuf> = folders.into_iter().collect();
        at_once(&folders, |folder| disk::sync_folder(folder).map_err(StoreError::disk("flush", folder)))?;
        self.presence.published(waiting.iter().map(|(digest, _)| *digest));
        for (digest, _) in &waiting {
            self.unpublished.remove(digest);
        }
        Ok(())
    }

    /// Flushes the store's whole file system. Returns false if the system cannot report every failed write; then
    /// nothing was flushed.
    fn sync_disk(&self) -> bool {
        // A file opened before anything was written: `syncfs` reports failures since then through it.
        let since = self.unpublished.lock_file();
        since.is_some_and(|file| disk::sync_disk(&file).unwrap_or(false))
    }
}
