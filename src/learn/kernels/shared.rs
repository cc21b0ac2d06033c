//! Buffers written by several threads at places that do not overlap, and buffers used again. Knows no kernel.
#![expect(unsafe_code, reason = "rows of one buffer are written by several threads")]

use std::sync::Mutex;

/// A mutable slice of which several threads write disjoint parts.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    start: *mut f32,
    len: usize,
}

// SAFETY: a part is handed out only by `part` and `at`, whose callers promise that parts written at the same time are disjoint.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Shares `slice` for as long as the caller keeps it borrowed.
    pub(super) fn new(slice: &mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len() }
    }

    /// A part of it.
    ///
    /// # Safety
    /// The slice outlives the part, and nobody else holds an overlapping one.
    pub(super) unsafe fn part<'a>(self, from: usize, len: usize) -> &'a mut [f32] {
        assert!(from + len <= self.len, "part {from}+{len} of {}", self.len);
        // SAFETY: within the slice, and disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }

    /// A pointer to element `at`, of which the caller uses `len` elements.
    ///
    /// # Safety
    /// As [`Shared::part`].
    pub(super) unsafe fn at(self, at: usize, len: usize) -> *mut f32 {
        debug_assert!(at + len <= self.len, "element {at}+{len} of {}", self.len);
        // SAFETY: within the slice.
        unsafe { self.start.add(at) }
    }
}

/// Buffers that are given back and taken again: fresh memory costs a page fault per 4 KiB.
#[derive(Debug, Default)]
pub struct Pool {
    free: Mutex<Vec<Vec<f32>>>,
}

impl Pool {
    /// A buffer of `len` floats with any content.
    #[must_use]
    pub fn take(&self, len: usize) -> Vec<f32> {
        let mut free = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fits = |buffer: &Vec<f32>| buffer.capacity() >= len && buffer.capacity() <= 2 * len.max(16);
        let best =
            free.iter().enumerate().filter(|(_, buffer)| fits(buffer)).min_by_key(|(_, buffer)| buffer.capacity());
        let Some((at, _)) = best else {
            drop(free);
            return vec![0.0; len];
        };
        let mut buffer = free.swap_remove(at);
        drop(free);
        buffer.resize(len, 0.0);
        buffer
    }

    /// Gives a buffer back.
    pub fn give(&self, buffer: Vec<f32>) {
        if buffer.capacity() > 0 {
            self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(buffer);
        }
    }

    /// Frees all that is not in use.
    pub fn clear(&self) {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}
