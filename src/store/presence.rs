//! Which objects stand in their places, by listing the folders: for a result of many objects that is far cheaper than asking
//! for each.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::{Entry, Objects};
use crate::base::Digest;

/// The digests in the folders of objects at one moment.
#[derive(Debug)]
pub(super) struct Listing {
    /// By their first byte, sorted.
    folders: Vec<Vec<Digest>>,
}

impl Listing {
    /// Lists the objects under `root`; a folder that can't be listed counts as empty, and each of its objects is asked for.
    pub(super) fn of(root: &Path) -> Self {
        let folders = (0..=u8::MAX).into_par_iter().map(|first| {
            let entries = std::fs::read_dir(root.join(format!("{first:02x}"))).into_iter().flatten().flatten();
            let mut found: Vec<Digest> =
                entries.filter_map(|entry| digest(first, entry.file_name().as_encoded_bytes())).collect();
            found.sort_unstable();
            found
        });
        Self { folders: folders.collect() }
    }

    /// Whether an object stood in its place.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.folders[usize::from(digest.bytes()[0])].binary_search(digest).is_ok()
    }
}

/// A look for objects, perhaps for many.
#[derive(Debug)]
pub(super) struct Looking<'a> {
    objects: &'a Objects,
    listing: Option<Arc<Listing>>,
    /// They were in the listing, and are gone.
    damaged: BTreeSet<Digest>,
}

impl<'a> Looking<'a> {
    pub(super) fn new(objects: &'a Objects, listing: Option<Arc<Listing>>, damaged: BTreeSet<Digest>) -> Self {
        Self { objects, listing, damaged }
    }

    /// As [`Objects::holds`]; among many an object is there when its name is, whatever its size: a truncated one is found when it
    /// is read.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        let listed = self.listing.as_ref().is_some_and(|listing| listing.has(&entry.digest));
        listed && !self.damaged.contains(&entry.digest) || self.objects.holds(entry)
    }
}

/// A digest from its first byte and the digits of the others.
fn digest(first: u8, rest: &[u8]) -> Option<Digest> {
    let mut bytes = [first; 32];
    if rest.len() != 62 {
        return None;
    }
    for (byte, pair) in bytes[1..].iter_mut().zip(rest.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(Digest::from_bytes(bytes))
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
