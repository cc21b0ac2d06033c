//! Provenance of a model: the photographs and patients that it was fitted on or chosen by, as digests. Knows no stage.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};

/// The photographs and patients behind a model, those of its initial model and of its encoders included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Those in training sets.
    pub fitted: ModelData,
    /// Those in validation sets, which chose an epoch.
    pub chosen: ModelData,
    /// Digests of files of weights that it starts from or reads embeddings of. What these were trained on is not recorded.
    pub weights: BTreeSet<Digest>,
}

/// Photographs and their patients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelData {
    /// Digests of the original files, before any preprocessing.
    pub photographs: BTreeSet<Digest>,
    /// Digests of the patients' names ([`patient_digest`]); unknown patients are left out.
    pub patients: BTreeSet<Digest>,
}

/// What a model used data for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataUse {
    /// Its weights were fitted on them.
    Fitted,
    /// Its epoch was chosen by them.
    Chosen,
}

impl Provenance {
    /// Adds a photograph: the digest of its original file, and its patient.
    pub fn add(&mut self, purpose: DataUse, photograph: Digest, patient: Option<&str>) {
        let data = match purpose {
            DataUse::Fitted => &mut self.fitted,
            DataUse::Chosen => &mut self.chosen,
        };
        data.photographs.insert(photograph);
        data.patients.extend(patient.map(patient_digest));
    }

    /// What the model used the photograph with these bytes for; fitting counts more than choosing.
    #[must_use]
    pub fn purpose(&self, photograph: &Digest) -> Option<DataUse> {
        if self.fitted.photographs.contains(photograph) {
            return Some(DataUse::Fitted);
        }
        self.chosen.photographs.contains(photograph).then_some(DataUse::Chosen)
    }

    /// That of several models whose scores are averaged.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (all, data) in [(&mut self.fitted, other.fitted), (&mut self.chosen, other.chosen)] {
            all.photographs.extend(data.photographs);
            all.patients.extend(data.patients);
        }
        self.weights.extend(other.weights);
        self
    }

    /// Number of photographs.
    #[must_use]
    pub fn photographs(&self) -> usize {
        self.fitted.photographs.union(&self.chosen.photographs).count()
    }

    /// Number of known patients.
    #[must_use]
    pub fn patients(&self) -> usize {
        self.fitted.patients.union(&self.chosen.patients).count()
    }
}

/// Digest of a patient's name: BLAKE3 with the context `macula patient 1`, of its length in bytes (u64, little-endian) and its UTF-8
/// bytes. It hides no name from a reader who can guess it.
#[must_use]
pub fn patient_digest(name: &str) -> Digest {
    Hasher::new("macula patient 1").text(name).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting_counts_more_than_choosing_and_everything_counts_once() {
        let [one, two, three] = [b"1", b"2", b"3"].map(|bytes| Digest::of(bytes));
        let mut provenance = Provenance::default();
        provenance.add(DataUse::Chosen, one, Some("Ada"));
        provenance.add(DataUse::Fitted, one, Some("Ada"));
        provenance.add(DataUse::Chosen, two, None);
        assert_eq!(provenance.purpose(&one), Some(DataUse::Fitted));
        assert_eq!(provenance.purpose(&two), Some(DataUse::Chosen));
        assert_eq!(provenance.purpose(&three), None);
        assert_eq!((provenance.photographs(), provenance.patients()), (2, 1));
        let text = serde_json::to_string(&provenance).expect("JSON");
        assert!(!text.contains("Ada"), "{text}");
        assert_eq!(serde_json::from_str::<Provenance>(&text).expect("as written"), provenance);
    }
}
