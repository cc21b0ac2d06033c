//! Downloads from a remote: packs and large objects, each verified against its digest before it becomes an object of
//! the store.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::objects::at_once;
use super::super::{Entry, Found, Objects, Store, StoreError, action};
use super::hit::RemoteHit;
use super::parts::part;
use super::watchdog::REMOTE;
use super::{Fault, Remote, Remotes, lock};

/// Number of files after which received objects are published, so that a killed process need not fetch them again.
const GROUP: usize = 32;

impl Store {
    /// Downloads a result and records it. `on_progress` is called with the bytes received so far and returns whether to
    /// continue. [`None`] if the download is incomplete: then this process does not find the result on remotes again.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if it cannot be stored.
    pub fn download(
        &self,
        hit: &RemoteHit,
        on_progress: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<Found>, StoreError> {
        let record = hit.record();
        let (remote, key) = (hit.remote(), &record.key);
        let _span = tracing::info_span!(target: REMOTE, "download", remote, %key, bytes = hit.bytes()).entered();
        let received = AtomicU64::new(0);
        for group in hit.open_parts(&self.objects).chunks(GROUP) {
            let outcome = at_once(group, |one| {
                let proceed = |bytes: u64| on_progress(received.load(Ordering::Relaxed) + bytes);
                part(&hit.remote, &self.objects, &hit.bundle, *one, &proceed)?;
                let size = hit.file(*one).1;
                if on_progress(received.fetch_add(size, Ordering::Relaxed) + size) {
                    Ok(())
                } else {
                    Err(Fault::Stopped)
                }
            });
            self.objects.publish()?;
            if let Err(fault) = outcome {
                self.remotes.refuse(&record.key);
                return fault_of(&hit.remote, fault).map(|()| None);
            }
        }
        self.objects.publish()?;
        action::write(&self.layout.action(&record.key, &record.target), record)?;
        let found = self.load(&record.key, &record.target)?.ok();
        if found.is_none() {
            self.remotes.refuse(&record.key);
        }
        Ok(found)
    }
}

impl Remotes {
    /// Downloads one object that a remote holds. Returns whether the store has it now.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if it cannot be stored.
    pub(in super::super) fn download(&self, objects: &Objects, entry: &Entry) -> Result<bool, StoreError> {
        let Some((hit, one)) = lock(&self.held).get(&entry.digest).cloned() else { return Ok(false) };
        match part(&hit.remote, objects, &hit.bundle, one, &|_| true) {
            Ok(()) => Ok(objects.stores(entry)),
            Err(fault) => {
                self.refuse(&hit.record().key);
                fault_of(&hit.remote, fault).map(|()| false)
            }
        }
    }
}

/// Notes a fault of the remote; passes on one of the store.
fn fault_of(remote: &Remote, fault: Fault) -> Result<(), StoreError> {
    match fault {
        Fault::Store(error) => return Err(error),
        Fault::Wrong(_) => remote.trouble(&fault),
        Fault::Passing(_) | Fault::Lasting { .. } | Fault::Stopped => {}
    }
    Ok(())
}
