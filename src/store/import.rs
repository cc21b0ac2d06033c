//! Results that come from a file: their objects are stored first, then the record that names them. Knows no file format.

use super::remote::is_plain_record;
use super::{Found, Record, Store, StoreError, Tree, action};

impl Store {
    /// Records a result whose objects the store has. `trees` are the trees of its outputs, in the order of ports. [`None`] if the
    /// record does not belong to them, names other objects, or contains text that would control a terminal.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn import(&self, record: &Record, trees: &[Tree]) -> Result<Option<Found>, StoreError> {
        if record.recipe.is_some()
            || record.outputs.len() != trees.len()
            || record.manifest.key() != record.key
            || !is_plain_record(record)
        {
            return Ok(None);
        }
        for (stored, tree) in record.outputs.values().zip(trees) {
            let is_whole = tree.entries.values().all(|entry| self.objects.stores(entry));
            if tree.digest() != stored.tree || !is_whole || self.objects.put_tree(tree)? != stored.object {
                return Ok(None);
            }
        }
        self.objects.publish()?;
        action::write(&self.layout.action(&record.key, &record.target), record)?;
        Ok(self.load(&record.key, &record.target)?.ok())
    }
}
