//! Patch counts of a set, by health and by class, as stages show them before and after.

use super::patches::{Health, Label, PatchRow, PatchSet};
use crate::stage::{Cell, Table};

/// Counts over a patch set; repeated patches are counted as often as they occur.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchCounts {
    /// Photographs with at least one patch.
    pub photographs: u64,
    /// All patches.
    pub patches: u64,
    /// Patches with every class known to be absent.
    pub healthy: u64,
    /// Patches with at least one class present.
    pub lesion: u64,
    /// Patches with unknown labels and no class known to be present.
    pub undetermined: u64,
    /// Known positives per class.
    pub positives: Vec<u64>,
    /// Photographs with at least one known positive, per class.
    pub positive_photographs: Vec<u64>,
}

impl PatchCounts {
    /// Counts of a set.
    #[must_use]
    pub fn of(set: &PatchSet) -> Self {
        Self::over(set.info.classes.len(), set.parts.iter().map(|part| part.rows.as_slice()))
    }

    /// Counts of the rows of several photographs.
    pub fn over<'a>(classes: usize, photographs: impl Iterator<Item = &'a [PatchRow]>) -> Self {
        let mut counts =
            Self { positives: vec![0; classes], positive_photographs: vec![0; classes], ..Self::default() };
        for rows in photographs {
            counts.add(rows);
        }
        counts
    }

    fn add(&mut self, rows: &[PatchRow]) {
        self.photographs += u64::from(!rows.is_empty());
        for class in 0..self.positives.len() {
            let positive = rows.iter().filter(|row| row.labels[class] == Label::Present);
            let count: u64 = positive.map(|row| u64::from(row.copies)).sum();
            self.positives[class] += count;
            self.positive_photographs[class] += u64::from(count > 0);
        }
        for row in rows {
            let copies = u64::from(row.copies);
            self.patches += copies;
            match row.health() {
                Health::Healthy => self.healthy += copies,
                Health::Lesion => self.lesion += copies,
                Health::Undetermined => self.undetermined += copies,
            }
        }
    }
}

/// A table of counts with a row for each named set, and a column for undetermined patches if there are any.
#[must_use]
pub fn table(title: &str, classes: &[String], sets: &[(&str, &PatchCounts)]) -> Table {
    let undetermined = sets.iter().any(|(_, counts)| counts.undetermined > 0);
    let mut columns: Vec<String> = ["", "photographs", "patches", "healthy", "lesion"].map(str::to_owned).to_vec();
    if undetermined {
        columns.push("undetermined".into());
    }
    columns.extend(classes.iter().cloned());
    let rows = sets
        .iter()
        .map(|(name, counts)| {
            let mut row = vec![Cell::Text((*name).to_owned())];
            let mut cells = vec![counts.photographs, counts.patches, counts.healthy, counts.lesion];
            if undetermined {
                cells.push(counts.undetermined);
            }
            cells.extend(&counts.positives);
            row.extend(cells.into_iter().map(|count| Cell::Int(count as i64)));
            row
        })
        .collect();
    Table { title: title.to_owned(), columns, rows }
}
