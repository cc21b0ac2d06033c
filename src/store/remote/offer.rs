//! What remotes say of a key. An offer's trees are here and checked; of its other bytes only that the remote has them, with their
//! sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::objects::at_once;
use super::super::{Accept, Artifact, EVERYWHERE, Entry, Found, Objects, Record, StoreError};
use super::parcel::{self, Parcel};
use super::watch::Expected;
use super::{Fault, Remote, Remotes, lock};
use crate::base::Digest;

/// A result that a remote has and the store has not.
#[derive(Debug)]
pub struct Offer {
    pub(super) remote: Arc<Remote>,
    pub(super) parcel: Parcel,
    /// Of each pack the small objects, in order.
    pub(super) small: Vec<Vec<Entry>>,
}

/// A file of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A pack, by its place.
    Pack(usize),
    /// A large object.
    Alone(Entry),
}

impl Offer {
    /// The remote's name.
    #[must_use]
    pub fn remote(&self) -> &str {
        &self.remote.name
    }

    /// Its record.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.parcel.record
    }

    /// Bytes of all that it is made of, those that are here by now too.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parcel.bytes()
    }

    /// As if it were here.
    #[must_use]
    pub fn found(&self) -> Found {
        let record = self.parcel.record.clone();
        let outputs = record.outputs.iter().map(|(port, stored)| (port.clone(), Artifact::stored(stored)));
        Found { outputs: outputs.collect(), record }
    }

    /// Its files whose bytes are not all here.
    pub(super) fn open_parts(&self, objects: &Objects) -> Vec<Part> {
        // What is relied on is said before it is looked for, so that collection leaves it.
        let lacks = |entries: &[Entry]| entries.iter().filter(|entry| !objects.relies_on(entry)).count() > 0;
        let trees: Vec<Entry> = self.parcel.trees().into_iter().collect();
        let packs = self.small.iter().enumerate();
        let packs = packs.filter(|(at, small)| lacks(small) || *at == 0 && lacks(&trees)).map(|(at, _)| Part::Pack(at));
        let alone = self.parcel.alone.iter().filter(|entry| lacks(std::slice::from_ref(entry)));
        packs.chain(alone.map(|entry| Part::Alone(*entry))).collect()
    }

    /// Bytes that are still to come.
    #[must_use]
    pub fn open_bytes(&self, objects: &Objects) -> u64 {
        self.open_parts(objects).iter().map(|part| self.file(*part).1).sum()
    }

    /// The name and the size of a part.
    pub(super) fn file(&self, part: Part) -> (String, u64) {
        file(&self.parcel, part)
    }
}

/// The name and the size of a part of a parcel.
pub(super) fn file(parcel: &Parcel, part: Part) -> (String, u64) {
    match part {
        Part::Pack(at) => (parcel::pack(&parcel.packs[at].file.digest), parcel.packs[at].file.size),
        Part::Alone(entry) => (parcel::object(&entry.digest), entry.size),
    }
}

/// All parts of a parcel.
pub(super) fn parts(parcel: &Parcel) -> Vec<Part> {
    let packs = (0..parcel.packs.len()).map(Part::Pack);
    packs.chain(parcel.alone.iter().map(|entry| Part::Alone(*entry))).collect()
}

impl Remotes {
    /// The result of a key where a remote has all of it; the first that does. Each key is asked for once a process.
    ///
    /// # Errors
    /// [`StoreError::Disk`] where what comes of it can't be kept.
    pub fn offer(
        &self,
        objects: &Objects,
        key: &Digest,
        class: &str,
        accept: Accept,
    ) -> Result<Option<Arc<Offer>>, StoreError> {
        if self.list.is_empty() {
            return Ok(None);
        }
        if let Some(known) = lock(&self.offers).get(key) {
            return Ok(known.clone());
        }
        let mut found = None;
        for remote in self.list.iter().filter(|remote| !remote.is_down()) {
            match ask(remote, objects, key, class, accept) {
                Ok(Some(offer)) => found = Some(offer),
                Ok(None) | Err(Fault::Passing(_) | Fault::Lasting { .. } | Fault::Stopped) => continue,
                Err(Fault::Store(error)) => return Err(error),
                Err(fault @ Fault::Wrong(_)) => {
                    remote.trouble(&fault);
                    continue;
                }
            }
            break;
        }
        let found = found.map(Arc::new);
        if let Some(offer) = &found {
            let mut held = lock(&self.held);
            for (at, small) in offer.small.iter().enumerate() {
                held.extend(small.iter().map(|entry| (entry.digest, (Arc::clone(offer), Part::Pack(at)))));
            }
            let alone = offer.parcel.alone.iter();
            held.extend(alone.map(|entry| (entry.digest, (Arc::clone(offer), Part::Alone(*entry)))));
        }
        lock(&self.offers).insert(*key, found.clone());
        Ok(found)
    }

    /// Takes no offer of a key any more: what it promised did not come.
    pub(super) fn refuse(&self, key: &Digest) {
        lock(&self.offers).insert(*key, None);
    }
}

/// What one remote says of a key.
fn ask(
    remote: &Arc<Remote>,
    objects: &Objects,
    key: &Digest,
    class: &str,
    accept: Accept,
) -> Result<Option<Offer>, Fault> {
    let own = parcel_of(remote, key, class)?.filter(|parcel| parcel.record.class == class);
    let parcel = match (own, accept) {
        (Some(parcel), _) => parcel,
        (None, Accept::AnyClass) if class != EVERYWHERE => match parcel_of(remote, key, parcel::ANY)? {
            Some(parcel) => parcel,
            None => return Ok(None),
        },
        (None, _) => return Ok(None),
    };
    if parcel.outside.iter().any(|entry| !objects.holds(entry)) {
        return Ok(None);
    }
    let Some(small) = trees_of(remote, objects, &parcel)? else { return Ok(None) };
    let offer = Offer { remote: Arc::clone(remote), parcel, small };
    Ok(all_there(remote, &offer.parcel, &offer.open_parts(objects))?.then_some(offer))
}

/// The parcel of a key in a class, where the remote has one that can be read.
pub(super) fn parcel_of(remote: &Remote, key: &Digest, class: &str) -> Result<Option<Parcel>, Fault> {
    let name = parcel::action(key, class);
    let bytes = remote.tried(|site| {
        let mut bytes = Vec::new();
        let fetched = site.fetch(&name, Expected::Parcel, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(fetched.map(|_| bytes))
    })?;
    let Some(bytes) = bytes else { return Ok(None) };
    let parcel: Option<Parcel> = super::super::action::unsealed(&bytes);
    match parcel.filter(|parcel| parcel.record.key == *key && parcel.is_sound()) {
        Some(parcel) => Ok(Some(parcel)),
        None => Err(Fault::Wrong(format!("`{name}` of remote `{}` is damaged; it counts as missing", remote.name))),
    }
}

/// Whether the remote has these parts of a parcel, with their sizes.
pub(super) fn all_there(remote: &Remote, parcel: &Parcel, parts: &[Part]) -> Result<bool, Fault> {
    let missing = std::sync::atomic::AtomicBool::new(false);
    at_once(parts, |part| {
        let (name, size) = file(parcel, *part);
        if remote.tried(|site| site.size(&name))? != Some(size) {
            missing.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        Ok::<(), Fault>(())
    })?;
    Ok(!missing.into_inner())
}

/// Sees to it that the trees of a parcel are here and are what it says. Returns the small objects of each pack; [`None`] where the pack is
/// not at the remote.
fn trees_of(remote: &Remote, objects: &Objects, parcel: &Parcel) -> Result<Option<Vec<Vec<Entry>>>, Fault> {
    if parcel.trees().iter().any(|tree| !objects.stores(tree))
        && !super::bring::pack(remote, objects, parcel, 0, &|_| true)?
    {
        return Ok(None);
    }
    let other = || Fault::Wrong(format!("a result of remote `{}` holds other trees than it says", remote.name));
    let mut named = BTreeMap::new();
    for stored in parcel.record.outputs.values() {
        if !objects.stores(&stored.object) {
            return Err(other());
        }
        let tree = objects.read_tree(&stored.object).map_err(|error| match error {
            StoreError::Damaged { .. } | StoreError::Missing { .. } => other(),
            error => Fault::Store(error),
        })?;
        if tree.digest() != stored.tree {
            return Err(other());
        }
        named.extend(tree.entries.values().map(|entry| (entry.digest, *entry)));
    }
    let elsewhere: BTreeSet<Entry> = parcel.alone.iter().chain(&parcel.outside).copied().collect();
    let mut rest = named.into_values().filter(|entry| !elsewhere.contains(entry));
    let small: Vec<Vec<Entry>> = parcel.packs.iter().map(|pack| rest.by_ref().take(pack.small).collect()).collect();
    let as_promised = small.iter().zip(&parcel.packs).all(|(small, pack)| small.len() == pack.small);
    if as_promised && rest.next().is_none() { Ok(Some(small)) } else { Err(other()) }
}
