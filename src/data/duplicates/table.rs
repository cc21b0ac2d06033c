//! Parquet table of photographs that show the same picture, a row for each pair: `photograph`, `input` (position of its set at the port, from
//! 1), `digest` (of its file), `other`, `other_input`, `other_digest`, `orientation` (that turns the first into the other, as numbered by
//! EXIF), `similarity`, `overlap` (fraction of the smaller photograph that both show; null if they show the same picture).

use crate::base::Digest;
use crate::data::orientation::Orientation;
use crate::data::table::{Column, Columns, TableError};
use crate::stage::StageError;

/// A photograph of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairMember {
    /// Its name.
    pub name: String,
    /// Position of its set among the inputs, from 1.
    pub input: u32,
    /// Digest of its file.
    pub digest: Digest,
}

/// Two photographs that show the same picture.
#[derive(Clone, Debug, PartialEq)]
pub struct NearDuplicate {
    /// The photographs, in order of the inputs.
    pub members: [PairMember; 2],
    /// How the first is turned into the second.
    pub orientation: Orientation,
    /// Correlation of what both show.
    pub similarity: f64,
    /// Fraction of the smaller photograph that both show; [`None`] if they show the same picture.
    pub overlap: Option<f64>,
}

impl NearDuplicate {
    /// The pair in words: `IDRiD_03` and `copy` (mirrored).
    #[must_use]
    pub fn words(&self) -> String {
        let [first, second] = &self.members;
        let words = if first.digest == second.digest { "the same file".to_owned() } else { self.how() };
        let words = if words.is_empty() { words } else { format!(" ({words})") };
        format!("`{}` and `{}`{words}", first.name, second.name)
    }

    /// How the second shows the first, in words: `mirrored`, `a part`, `a part, mirrored`; empty if it shows the same picture upright.
    #[must_use]
    pub fn how(&self) -> String {
        let part = self.overlap.map(|_| "a part");
        let turned = (!self.orientation.is_upright()).then(|| self.orientation.words());
        part.into_iter().chain(turned).collect::<Vec<_>>().join(", ")
    }
}

/// The table as the bytes of a Parquet file.
///
/// # Errors
/// [`StageError::Bug`] if it cannot be written.
pub fn to_parquet(pairs: &[NearDuplicate]) -> Result<Vec<u8>, StageError> {
    let mut table = Columns::default();
    for (at, [name, input, digest]) in COLUMNS.into_iter().enumerate() {
        let members = || pairs.iter().map(|pair| &pair.members[at]);
        table.push(name, Column::Text(members().map(|member| Some(member.name.clone())).collect()));
        table.push(input, Column::Count(members().map(|member| Some(member.input)).collect()));
        table.push(digest, Column::Text(members().map(|member| Some(member.digest.to_string())).collect()));
    }
    let orientations = pairs.iter().map(|pair| Some(u32::from(pair.orientation.number())));
    table.push("orientation", Column::Count(orientations.collect()));
    table.push("similarity", Column::Real(pairs.iter().map(|pair| Some(pair.similarity)).collect()));
    table.push("overlap", Column::Real(pairs.iter().map(|pair| pair.overlap).collect()));
    table.to_parquet().map_err(|error| StageError::Bug(error.to_string()))
}

/// The pairs of a table.
///
/// # Errors
/// [`StageError::Bug`] if macula did not write it.
pub fn from_parquet(bytes: &[u8]) -> Result<Vec<NearDuplicate>, StageError> {
    read(bytes).map_err(|reason| StageError::Bug(format!("`pairs.parquet`: {reason}")))
}

/// Name, input and digest of each member.
const COLUMNS: [[&str; 3]; 2] = [["photograph", "input", "digest"], ["other", "other_input", "other_digest"]];

fn read(bytes: &[u8]) -> Result<Vec<NearDuplicate>, String> {
    let table = Columns::from_parquet(bytes).map_err(|error| error.to_string())?;
    let wrong = |error: TableError| error.to_string();
    let (orientations, similarities) =
        (table.counts("orientation").map_err(wrong)?, table.reals("similarity").map_err(wrong)?);
    let overlaps = table.reals("overlap").map_err(wrong)?;
    let member = |[name, input, digest]: [&str; 3], row: usize| {
        let text = |column| Ok::<_, String>(table.texts(column).map_err(wrong)?[row].clone().unwrap_or_default());
        let digest = text(digest)?.parse().map_err(|_| format!("row {row} has no digest"))?;
        let input = table.counts(input).map_err(wrong)?[row].unwrap_or_default();
        Ok::<_, String>(PairMember { name: text(name)?, input, digest })
    };
    let pair = |row: usize| {
        let [first, second] = COLUMNS;
        let orientation = Orientation::of(f64::from(orientations[row].unwrap_or_default()));
        let members = [member(first, row)?, member(second, row)?];
        let similarity = similarities[row].unwrap_or_default();
        Ok(NearDuplicate { members, orientation, similarity, overlap: overlaps[row] })
    };
    (0..table.rows()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_back() {
        let member =
            |name: &str, input| PairMember { name: name.to_owned(), input, digest: Digest::of(name.as_bytes()) };
        let pair = NearDuplicate {
            members: [member("IDRiD_01", 1), member("é 7", 2)],
            orientation: Orientation::of(6.0),
            similarity: 0.98,
            overlap: None,
        };
        let part = NearDuplicate { overlap: Some(0.6), ..pair.clone() };
        assert_eq!(part.words(), "`IDRiD_01` and `é 7` (a part, rotated by 90 degrees)");
        let pairs = [pair.clone(), part, NearDuplicate { orientation: Orientation::UPRIGHT, ..pair }];
        assert_eq!(from_parquet(&to_parquet(&pairs).unwrap()).unwrap(), pairs);
        assert_eq!(from_parquet(&to_parquet(&[]).unwrap()).unwrap(), []);
        assert!(from_parquet(b"PAR1").is_err());
    }
}
