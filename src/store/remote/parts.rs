//! The files of a bundle on a remote: packs of small objects, and large objects. Each is verified against its digest before
//! it becomes an object of the store.

use super::super::objects::digest_of_large;
use super::super::{Entry, Objects};
use super::bundle::{self, Bundle};
use super::watchdog::Expected;
use super::{Fault, Remote};

/// A file of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BundlePart {
    /// A pack, by its index.
    Pack(usize),
    /// A large object.
    Alone(Entry),
}

/// The file name and size of a part of a bundle.
pub(super) fn file(bundle: &Bundle, part: BundlePart) -> (String, u64) {
    match part {
        BundlePart::Pack(at) => (bundle::pack(&bundle.packs[at].file.digest), bundle.packs[at].file.size),
        BundlePart::Alone(entry) => (bundle::object(&entry.digest), entry.size),
    }
}

/// All parts of a bundle.
pub(super) fn parts(bundle: &Bundle) -> Vec<BundlePart> {
    let packs = (0..bundle.packs.len()).map(BundlePart::Pack);
    packs.chain(bundle.alone.iter().map(|entry| BundlePart::Alone(*entry))).collect()
}

/// Called with the bytes of one file received so far; returns whether to continue.
type Proceed<'a> = &'a (dyn Fn(u64) -> bool + Sync);

/// Downloads a part.
pub(super) fn part(
    remote: &Remote,
    objects: &Objects,
    bundle: &Bundle,
    part: BundlePart,
    proceed: Proceed<'_>,
) -> Result<(), Fault> {
    let there = match part {
        BundlePart::Pack(at) => pack(remote, objects, bundle, at, proceed)?,
        BundlePart::Alone(entry) => large(remote, objects, &entry, proceed)?,
    };
    let gone = || Fault::Wrong(format!("`{}` is missing from remote `{}`", file(bundle, part).0, remote.name));
    if there { Ok(()) } else { Err(gone()) }
}

/// Downloads the objects of a pack. Returns whether the remote has it.
pub(super) fn pack(
    remote: &Remote,
    objects: &Objects,
    bundle: &Bundle,
    at: usize,
    proceed: Proceed<'_>,
) -> Result<bool, Fault> {
    let expected = bundle.packs[at].file;
    let name = bundle::pack(&expected.digest);
    let _room = remote.room.take(expected.size);
    let bytes = remote.tried(|site| {
        let mut bytes = Vec::new();
        let fetched = site.fetch(&name, Expected::Bytes(expected.size), &mut |piece| {
            bytes.extend_from_slice(piece);
            if proceed(bytes.len() as u64) { Ok(()) } else { Err(Fault::Stopped) }
        })?;
        Ok(fetched.map(|_| bytes))
    })?;
    let Some(bytes) = bytes else { return Ok(false) };
    let whole = digest_of_large(&bytes) == expected.digest;
    let Some(packed) = bundle::unpacked(&bytes).filter(|_| whole) else { return Err(damaged(remote, &name)) };
    for object in packed {
        objects.put(object)?;
    }
    Ok(true)
}

/// Downloads a large object. Returns whether the remote has it.
fn large(remote: &Remote, objects: &Objects, entry: &Entry, proceed: Proceed<'_>) -> Result<bool, Fault> {
    let name = bundle::object(&entry.digest);
    remote.tried(|site| {
        let mut writer = objects.writer()?;
        let mut received = 0;
        let fetched = site.fetch(&name, Expected::Bytes(entry.size), &mut |piece| {
            writer.add(piece)?;
            received += piece.len() as u64;
            if proceed(received) { Ok(()) } else { Err(Fault::Stopped) }
        })?;
        match fetched {
            None => Ok(false),
            Some(_) if writer.finish_as(entry)? => Ok(true),
            Some(_) => Err(damaged(remote, &name)),
        }
    })
}

fn damaged(remote: &Remote, name: &str) -> Fault {
    Fault::Wrong(format!("`{name}` of remote `{}` is damaged and is ignored", remote.name))
}
