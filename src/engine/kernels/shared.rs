//! Buffers that several threads write to disjoint parts of, and a pool of reusable buffers. Knows no kernel.
#![expect(unsafe_code, reason = "rows of one buffer are written by several threads")]

use std::sync::Mutex;

use crate::base::sync;

/// Mutable slice of which several threads write disjoint parts.
#[derive(Clone, Copy)]
pub(super) struct SharedBuffer {
    start: *mut f32,
    len: usize,
}

// SAFETY: parts are handed out only by `part` and `at`, whose callers guarantee that parts written concurrently are disjoint.
unsafe impl Send for SharedBuffer {}
// SAFETY: as above.
unsafe impl Sync for SharedBuffer {}

impl SharedBuffer {
    /// Shares `slice` for as long as the caller keeps it borrowed.
    pub(super) fn new(slice: &mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len() }
    }

    /// Part of the slice.
    ///
    /// # Safety
    /// The slice outlives the part, and no overlapping part is held elsewhere.
    pub(super) unsafe fn part<'a>(self, from: usize, len: usize) -> &'a mut [f32] {
        assert!(from + len <= self.len, "part {from}+{len} of {}", self.len);
        // SAFETY: within the slice, and disjoint as the caller guarantees.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }

    /// Pointer to `len` elements from `at` on.
    ///
    /// # Safety
    /// As [`SharedBuffer::part`].
    pub(super) unsafe fn at(self, at: usize, len: usize) -> *mut f32 {
        debug_assert!(at + len <= self.len, "element {at}+{len} of {}", self.len);
        // SAFETY: within the slice.
        unsafe { self.start.add(at) }
    }
}

/// Pool of reusable buffers: fresh memory costs a page fault per 4 KiB.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Mutex<Vec<Vec<f32>>>,
}

impl BufferPool {
    /// Takes a buffer of `len` floats with arbitrary content.
    #[must_use]
    pub fn take(&self, len: usize) -> Vec<f32> {
        let mut free = sync::lock(&self.free);
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

    /// Returns a buffer.
    pub fn give(&self, buffer: Vec<f32>) {
        if buffer.capacity() > 0 {
            sync::lock(&self.free).push(buffer);
        }
    }

    /// Frees all buffers that are not in use.
    pub fn clear(&self) {
        sync::lock(&self.free).clear();
    }
}
