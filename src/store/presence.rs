//! Which objects stand in their places, by listing the folders: for a result of many objects that is far cheaper than asking
//! for each.

use std::path::Path;

use rayon::prelude::*;

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
