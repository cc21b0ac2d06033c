//! Finding results on remotes. A hit's trees are in the store and verified; of its other bytes only the existence and
//! the sizes on the remote are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::objects::at_once;
use super::super::{Accept, Artifact, EVERYWHERE, Entry, Found, Objects, Record, StoreError};
use super::bundle::{self, Bundle};
use super::parts::{self, BundlePart, file};
use super::watchdog::Expected;
use super::{Fault, Remote, Remotes, lock};
use crate::base::Digest;

/// A result that a remote has and the store does not.
#[derive(Debug)]
pub struct RemoteHit {
    pub(super) remote: Arc<Remote>,
    pub(super) bundle: Bundle,
    /// The small objects of each pack, in order.
    pub(super) small: Vec<Vec<Entry>>,
}

impl RemoteHit {
    /// The remote's name.
    #[must_use]
    pub fn remote(&self) -> &str {
        &self.remote.name
    }

    /// Its record.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.bundle.record
    }

    /// Total bytes, including those that the store has by now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bundle.bytes()
    }

    /// The result as if the store had it.
    #[must_use]
    pub fn found(&self) -> Found {
        let record = self.bundle.record.clone();
        let outputs = record.outputs.iter().map(|(port, stored)| (port.clone(), Artifact::stored(stored)));
        Found { outputs: outputs.collect(), record }
    }

    /// Its files with bytes that the store does not have yet.
    pub(super) fn open_parts(&self, objects: &Objects) -> Vec<BundlePart> {
        // `relies_on` registers objects before it looks for them, so that collection keeps them.
        let lacks = |entries: &[Entry]| entries.iter().filter(|entry| !objects.relies_on(entry)).count() > 0;
        let trees: Vec<Entry> = self.bundle.trees().into_iter().collect();
        let packs = self.small.iter().enumerate();
        let packs =
            packs.filter(|(at, small)| lacks(small) || *at == 0 && lacks(&trees)).map(|(at, _)| BundlePart::Pack(at));
        let alone = self.bundle.alone.iter().filter(|entry| lacks(std::slice::from_ref(entry)));
        packs.chain(alone.map(|entry| BundlePart::Alone(*entry))).collect()
    }

    /// Bytes that are still to be downloaded.
    #[must_use]
    pub fn open_bytes(&self, objects: &Objects) -> u64 {
        self.open_parts(objects).iter().map(|part| self.file(*part).1).sum()
    }

    /// The file name and size of a part.
    pub(super) fn file(&self, part: BundlePart) -> (String, u64) {
        file(&self.bundle, part)
    }
}

impl Remotes {
    /// Finds the result of a key on the first remote that has all of it. Each key is looked up once per process.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if its trees cannot be stored.
    pub fn find(
        &self,
        objects: &Objects,
        key: &Digest,
        target: &str,
        accept: Accept,
    ) -> Result<Option<Arc<RemoteHit>>, StoreError> {
        if self.list.is_empty() {
            return Ok(None);
        }
        if let Some(known) = lock(&self.hits).get(key) {
            return Ok(known.clone());
        }
        let mut found = None;
        for remote in self.list.iter().filter(|remote| !remote.is_down()) {
            match ask(remote, objects, key, target, accept) {
                Ok(Some(hit)) => found = Some(hit),
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
        if let Some(hit) = &found {
            let mut held = lock(&self.held);
            for (at, small) in hit.small.iter().enumerate() {
                held.extend(small.iter().map(|entry| (entry.digest, (Arc::clone(hit), BundlePart::Pack(at)))));
            }
            let alone = hit.bundle.alone.iter();
            held.extend(alone.map(|entry| (entry.digest, (Arc::clone(hit), BundlePart::Alone(*entry)))));
        }
        lock(&self.hits).insert(*key, found.clone());
        Ok(found)
    }

    /// Drops the hit of a key whose download failed.
    pub(super) fn refuse(&self, key: &Digest) {
        lock(&self.hits).insert(*key, None);
    }
}

/// Looks a key up on one remote.
fn ask(
    remote: &Arc<Remote>,
    objects: &Objects,
    key: &Digest,
    target: &str,
    accept: Accept,
) -> Result<Option<RemoteHit>, Fault> {
    let own = bundle_of(remote, key, target)?.filter(|bundle| bundle.record.target == target);
    let bundle = match (own, accept) {
        (Some(bundle), _) => bundle,
        (None, Accept::AnyTarget) if target != EVERYWHERE => match bundle_of(remote, key, bundle::ANY)? {
            Some(bundle) => bundle,
            None => return Ok(None),
        },
        (None, _) => return Ok(None),
    };
    if bundle.outside.iter().any(|entry| !objects.holds(entry)) {
        return Ok(None);
    }
    let Some(small) = trees_of(remote, objects, &bundle)? else { return Ok(None) };
    let hit = RemoteHit { remote: Arc::clone(remote), bundle, small };
    Ok(all_there(remote, &hit.bundle, &hit.open_parts(objects))?.then_some(hit))
}

/// The bundle of a key for a target, if the remote has a readable one.
pub(super) fn bundle_of(remote: &Remote, key: &Digest, target: &str) -> Result<Option<Bundle>, Fault> {
    let name = bundle::action(key, target);
    let bytes = remote.tried(|site| {
        let mut bytes = Vec::new();
        let fetched = site.fetch(&name, Expected::Bundle, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(fetched.map(|_| bytes))
    })?;
    let Some(bytes) = bytes else { return Ok(None) };
    let bundle: Option<Bundle> = super::super::action::unsealed(&bytes);
    match bundle.filter(|bundle| bundle.record.key == *key && bundle.is_sound()) {
        Some(bundle) => Ok(Some(bundle)),
        None => Err(Fault::Wrong(format!("`{name}` of remote `{}` is damaged and is ignored", remote.name))),
    }
}

/// Whether the remote has these parts of a bundle, with the right sizes.
pub(super) fn all_there(remote: &Remote, bundle: &Bundle, parts: &[BundlePart]) -> Result<bool, Fault> {
    let missing = std::sync::atomic::AtomicBool::new(false);
    at_once(parts, |part| {
        let (name, size) = file(bundle, *part);
        if remote.tried(|site| site.size(&name))? != Some(size) {
            missing.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        Ok::<(), Fault>(())
    })?;
    Ok(!missing.into_inner())
}

/// Makes sure that the store has the trees of a bundle and that they are as stated. Returns the small objects of each
/// pack; [`None`] if the remote lacks the pack with the trees.
fn trees_of(remote: &Remote, objects: &Objects, bundle: &Bundle) -> Result<Option<Vec<Vec<Entry>>>, Fault> {
    if bundle.trees().iter().any(|tree| !objects.stores(tree)) && !parts::pack(remote, objects, bundle, 0, &|_| true)? {
        return Ok(None);
    }
    let other = || {
        Fault::Wrong(format!("a result on remote `{}` does not contain the trees that its record names", remote.name))
    };
    let mut named = BTreeMap::new();
    for stored in bundle.record.outputs.values() {
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
    let elsewhere: BTreeSet<Entry> = bundle.alone.iter().chain(&bundle.outside).copied().collect();
    let mut rest = named.into_values().filter(|entry| !elsewhere.contains(entry));
    let small: Vec<Vec<Entry>> = bundle.packs.iter().map(|pack| rest.by_ref().take(pack.small).collect()).collect();
    let as_promised = small.iter().zip(&bundle.packs).all(|(small, pack)| small.len() == pack.small);
    if as_promised && rest.next().is_none() { Ok(Some(small)) } else { Err(other()) }
}
