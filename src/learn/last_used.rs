//! What a map stage computes its items with: opened once, and shared by its threads. Knows no network.

use std::sync::{Arc, Mutex};

use crate::base::{sync, threads};
use crate::engine::gpu::DeviceRequest;
use crate::stage::StageError;

/// The thing that was requested last, with its key.
pub(super) struct LastUsed<K, T>(Mutex<Option<(K, Arc<T>)>>);

impl<K: PartialEq, T: Send + Sync> LastUsed<K, T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// What is held under `key`, otherwise what `open` gives, on `device`. Called by several threads at once.
    ///
    /// # Errors
    /// Those of `open`; `no-thread` if the system refuses a thread.
    pub(super) fn get(
        &self,
        key: K,
        device: DeviceRequest,
        open: impl FnOnce() -> Result<T, StageError> + Send,
    ) -> Result<Arc<T>, StageError> {
        let found = |held: &Option<(K, Arc<T>)>| {
            held.as_ref().filter(|(other, _)| *other == key).map(|(_, held)| Arc::clone(held))
        };
        if device.may_be_gpu() {
            // Once, not by each thread: it is in the memory of the GPU.
            let mut held = sync::lock(&self.0);
            if let Some(found) = found(&held) {
                return Ok(found);
            }
            let no_thread = |error| StageError::input("no-thread", format!("cannot start a thread: {error}"));
            let opened = Arc::new(threads::apart(open).map_err(no_thread)??);
            *held = Some((key, Arc::clone(&opened)));
            return Ok(opened);
        }
        if let Some(found) = found(&sync::lock(&self.0)) {
            return Ok(found);
        }
        // Not under the lock: a thread that waits for others in here may be given another item and would deadlock.
        let opened = Arc::new(open()?);
        *sync::lock(&self.0) = Some((key, Arc::clone(&opened)));
        Ok(opened)
    }

    /// Frees it, and its memory on a GPU, for the stages that follow.
    pub(super) fn release(&self) {
        *sync::lock(&self.0) = None;
    }
}
