//! Parquet table of the patches of one photograph.
//!
//! Columns: `photograph`, `digest`, `patient`, `official` (`train`, `valid`, `test` or null), `x`, `y`, `index`, `copies`; for
//! each class `CLASS` (1, 0, null if unknown), `CLASS_pixels` (null if unknown), `CLASS_distance` (null if there is
//! no mask pixel); `mean_r`, `mean_g`, `mean_b`, `deviation_r`, `deviation_g`, `deviation_b`; `histogram` (a list of 256). Facts about
//! the photograph are also in the footer, so that a part without rows keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Label, Part, PatchRow, SetInfo, foreign};
use crate::base::Digest;
use crate::data::embeddings::JoinedEmbeddings;
use crate::data::photographs::Official;
use crate::data::table::{Column, Columns, TableError};
use crate::stage::StageError;
use crate::store::{Entry, Objects, Tree};

const CHANNELS: [&str; 3] = ["r", "g", "b"];

impl Part {
    /// The shard of a part that was read from a set holding none of its patches.
    pub const NO_SHARD: Entry = Entry { digest: Digest::from_bytes([0; 32]), size: 0 };

    /// Writes the part and returns it and its shard as entries of a patch set's tree.
    ///
    /// # Errors
    /// Store errors.
    pub fn write(&self, info: &SetInfo, objects: &Objects) -> Result<Tree, StageError> {
        let mut tree = Tree::default();
        tree.insert(format!("parts/{}.parquet", self.photograph), objects.put(&self.to_parquet(info)?)?);
        if !self.rows.is_empty() {
            tree.insert(format!("shards/{}.safetensors", self.photograph), self.shard);
            for (name, entry) in &self.embeddings {
                tree.insert(JoinedEmbeddings::photograph_file(name, &self.photograph), *entry);
            }
        }
        Ok(tree)
    }

    /// The part as a Parquet file.
    ///
    /// # Errors
    /// [`StageError::Bug`] if a row does not have one label per class.
    pub fn to_parquet(&self, info: &SetInfo) -> Result<Vec<u8>, StageError> {
        let classes = info.classes.len();
        let fits = |row: &PatchRow| [row.labels.len(), row.mask_pixels.len(), row.mask_distance.len()] == [classes; 3];
        if !self.rows.iter().all(fits) {
            return Err(StageError::Bug(format!("a patch of `{}` does not have one label per class", self.photograph)));
        }
        let digest = self.digest.to_string();
        let mut facts = vec![("digest", digest.as_str())];
        facts.extend(self.patient.as_deref().map(|patient| ("patient", patient)));
        facts.extend(self.official.map(|side| ("official", side.name())));
        let constant = |text: Option<&str>| Column::Text(vec![text.map(str::to_owned); self.rows.len()]);
        let mut table = Columns::default();
        table.push("photograph", constant(Some(&self.photograph)));
        table.push("digest", constant(Some(&digest)));
        table.push("patient", constant(self.patient.as_deref()));
        table.push("official", constant(self.official.map(Official::name)));
        table.push("x", self.counts(|row| Some(row.x)));
        table.push("y", self.counts(|row| Some(row.y)));
        table.push("index", self.counts(|row| Some(row.index)));
        table.push("copies", self.counts(|row| Some(row.copies)));
        for (k, class) in info.classes.iter().enumerate() {
            let label = |row: &PatchRow| match row.labels[k] {
                Label::Absent => Some(0),
                Label::Present => Some(1),
                Label::Unknown => None,
            };
            let pixels = |row: &PatchRow| (row.labels[k] != Label::Unknown).then(|| row.mask_pixels[k]);
            let distance = |row: &PatchRow| Some(row.mask_distance[k]).filter(|distance| !distance.is_nan());
            table.push(class, self.counts(label));
            table.push(format!("{class}_pixels"), self.counts(pixels));
            table.push(format!("{class}_distance"), self.singles(distance));
        }
        for (c, name) in CHANNELS.iter().enumerate() {
            table.push(format!("mean_{name}"), self.singles(|row| Some(row.mean[c])));
        }
        for (c, name) in CHANNELS.iter().enumerate() {
            table.push(format!("deviation_{name}"), self.singles(|row| Some(row.deviation[c])));
        }
        table.push("histogram", Column::Counts(self.rows.iter().map(|row| row.histogram.to_vec()).collect()));
        table.to_parquet_with(&facts).map_err(|error| StageError::Bug(error.to_string()))
    }

    /// Reads the part of photograph `name` from a Parquet file; `shard` is its shard in the set's tree.
    ///
    /// # Errors
    /// `foreign-table` if macula did not write the bytes.
    pub fn from_parquet(name: &str, bytes: &[u8], info: &SetInfo, shard: Option<&Entry>) -> Result<Self, StageError> {
        let wrong = |error: TableError| foreign(&format!("the part of `{name}`: {error}"));
        let (table, facts) = Columns::from_parquet_with(bytes).map_err(wrong)?;
        let digest = facts.get("digest").and_then(|digest| digest.parse().ok());
        let official = facts.get("official").map(|side| Official::named(side).ok_or_else(|| foreign(side)));
        let whole = |column: &str| -> Result<Vec<u32>, StageError> {
            Ok(table.counts(column).map_err(wrong)?.iter().map(|value| value.unwrap_or(0)).collect())
        };
        let real = |column: &str| -> Result<Vec<f32>, StageError> {
            Ok(table.singles(column).map_err(wrong)?.iter().map(|value| value.unwrap_or(f32::NAN)).collect())
        };
        let triple = |column: &str| -> Result<Vec<[f32; 3]>, StageError> {
            let [r, g, b] = CHANNELS.map(|channel| real(&format!("{column}_{channel}")));
            Ok(r?.into_iter().zip(g?).zip(b?).map(|((r, g), b)| [r, g, b]).collect())
        };
        let each = |suffix: &'static str| info.classes.iter().map(move |class| format!("{class}{suffix}"));
        let labels = each("").map(|class| table.counts(&class).map_err(wrong)).collect::<Result<Vec<_>, _>>()?;
        let pixels = each("_pixels").map(|class| whole(&class)).collect::<Result<Vec<_>, _>>()?;
        let distance = each("_distance").map(|class| real(&class)).collect::<Result<Vec<_>, _>>()?;
        let (x, y, index, copies) = (whole("x")?, whole("y")?, whole("index")?, whole("copies")?);
        let (mean, deviation) = (triple("mean")?, triple("deviation")?);
        let row = |(i, counts): (usize, &Vec<u32>)| {
            Ok(PatchRow {
                x: x[i],
                y: y[i],
                index: index[i],
                copies: copies[i],
                labels: labels.iter().map(|column| Label::from_column(column[i])).collect(),
                mask_pixels: pixels.iter().map(|column| column[i]).collect(),
                mask_distance: distance.iter().map(|column| column[i]).collect(),
                mean: mean[i],
                deviation: deviation[i],
                histogram: Arc::new(
                    counts.as_slice().try_into().map_err(|_| foreign("a histogram does not have 256 bins"))?,
                ),
            })
        };
        let histograms = table.count_lists("histogram").map_err(wrong)?;
        Ok(Self {
            photograph: name.to_owned(),
            digest: digest.ok_or_else(|| foreign(&format!("the part of `{name}` has no digest")))?,
            patient: facts.get("patient").cloned(),
            official: official.transpose()?,
            shard: shard.copied().unwrap_or(Self::NO_SHARD),
            embeddings: BTreeMap::new(),
            rows: histograms.iter().enumerate().map(row).collect::<Result<_, StageError>>()?,
        })
    }

    fn counts(&self, value: impl Fn(&PatchRow) -> Option<u32>) -> Column {
        Column::Count(self.rows.iter().map(value).collect())
    }

    fn singles(&self, value: impl Fn(&PatchRow) -> Option<f32>) -> Column {
        Column::Single(self.rows.iter().map(value).collect())
    }
}

impl Label {
    const fn from_column(value: Option<u32>) -> Self {
        match value {
            None => Self::Unknown,
            Some(0) => Self::Absent,
            Some(_) => Self::Present,
        }
    }
}
