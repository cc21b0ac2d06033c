//! An artifact: a tree whose digest is always known and whose names are read on demand. A run with nothing to do reads
//! none.

use std::sync::{Arc, OnceLock};

use super::{Entry, Objects, StoreError, StoredTree, Tree};
use crate::base::Digest;

/// An immutable tree, cheap to clone.
#[derive(Clone, Debug)]
pub struct Artifact {
    digest: Digest,
    stored: Option<Entry>,
    tree: Arc<OnceLock<Tree>>,
}

impl Artifact {
    /// An artifact in the store.
    #[must_use]
    pub fn stored(stored: &StoredTree) -> Self {
        Self { digest: stored.tree, stored: Some(stored.object), tree: Arc::default() }
    }

    /// An artifact that was just stored.
    #[must_use]
    pub fn made(stored: &StoredTree, tree: Tree) -> Self {
        Self { digest: stored.tree, stored: Some(stored.object), tree: Arc::new(OnceLock::from(tree)) }
    }

    /// [`Tree::digest`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The object that holds its names, if it was read from one.
    #[must_use]
    pub fn object(&self) -> Option<Entry> {
        self.stored
    }

    /// The tree, read on first use.
    ///
    /// # Errors
    /// As [`Objects::read_tree`].
    pub fn tree(&self, objects: &Objects) -> Result<&Tree, StoreError> {
        if let (None, Some(object)) = (self.tree.get(), &self.stored) {
            let tree = objects.read_tree(object)?;
            return Ok(self.tree.get_or_init(|| tree));
        }
        Ok(self.tree.get_or_init(Tree::default))
    }
}

impl From<Tree> for Artifact {
    fn from(tree: Tree) -> Self {
        Self { digest: tree.digest(), stored: None, tree: Arc::new(OnceLock::from(tree)) }
    }
}
