//! Presence checks of many objects with one listing of the folders.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Objects;
use crate::base::Digest;
use crate::store::Entry;
use crate::store::presence::{CompleteTrees, Listing};

/// A presence check for one or many objects.
#[derive(Debug)]
pub(in crate::store) struct PresenceCheck<'a> {
    objects: &'a Objects,
    listing: Option<Arc<Listing>>,
    /// Listed, but found damaged since.
    damaged: BTreeSet<Digest>,
}

impl<'a> PresenceCheck<'a> {
    pub(super) fn new(objects: &'a Objects, many: usize) -> Self {
        let moment = || objects.lease.as_ref().and_then(|lease| lease.moment());
        let presence = &objects.presence;
        let listing = presence.is_many(many).then(|| presence.listing(&objects.root, moment));
        Self { objects, listing, damaged: objects.quarantine.damaged() }
    }

    /// As [`Objects::holds`]; a listed object counts as present whatever its size: truncation is found on read.
    pub(in crate::store) fn holds(&self, entry: &Entry) -> bool {
        self.lists(entry) || self.objects.holds(entry)
    }

    /// Whether an object is listed and not damaged.
    pub(super) fn lists(&self, entry: &Entry) -> bool {
        let listed = self.listing.as_ref().is_some_and(|listing| listing.has(&entry.digest));
        listed && !self.damaged.contains(&entry.digest)
    }

    /// Remembers a tree all of whose objects were listed.
    pub(super) fn note(&self, complete: &CompleteTrees, tree: Digest) {
        if let Some(folders) = self.listing.as_ref().and_then(|listing| listing.before()) {
            complete.note(tree, folders);
        }
    }
}
