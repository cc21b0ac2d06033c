//! New objects go to the disk, and then to their places.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Incoming, MANY, Objects, StoreError, Use, at_once, disk, lock};
use crate::base::Digest;

impl Objects {
    /// Brings all new objects to the disk and into their places. Must come before any record that names them.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn publish(&self) -> Result<(), StoreError> {
        let _one = lock(&self.publishing);
        let waiting: Vec<(Digest, PathBuf)> =
            lock(&self.pending).iter().map(|(digest, path)| (*digest, path.clone())).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        // Of many the whole disk is brought up to date, which is one wait.
        let disk_as_one = waiting.len() >= MANY && self.sync_disk();
        let each = if disk_as_one { &[][..] } else { &waiting[..] };
        at_once(each, |(digest, path)| {
            let file = match File::open(path) {
                // An earlier attempt came as far as to rename it.
                Err(error) if error.kind() == ErrorKind::NotFound => File::open(self.place(digest)),
                other => other,
            };
            file.and_then(|file| file.sync_data()).map_err(StoreError::disk("write to the disk", path))
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
            lock(&self.stuck).remove(digest);
        }
        folders.insert(self.root.clone());
        let folders: Vec<PathBuf> = folders.into_iter().collect();
        at_once(&folders, |folder| disk::sync_folder(folder).map_err(StoreError::disk("write to the disk", folder)))?;
        if let Some(listed) = &mut *lock(&self.listed) {
            Arc::make_mut(listed).add(waiting.iter().map(|(digest, _)| *digest));
        }
        let mut pending = lock(&self.pending);
        for (digest, _) in &waiting {
            pending.remove(digest);
        }
        Ok(())
    }

    /// Brings all that was written to the store's disk there, other files too. Whether that was done: not where the system does not
    /// say of every byte whether it arrived.
    fn sync_disk(&self) -> bool {
        // A file that was opened before anything was written: through it is told what failed since.
        let since = lock(&self.incoming).as_ref().and_then(Incoming::lock);
        since.is_some_and(|file| disk::sync_disk(&file).unwrap_or(false))
    }
}
