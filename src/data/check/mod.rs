//! Checks of photographs and masks before anything is trained on them: what each file is, what is wrong or strange, and which photographs
//! show the same picture. Knows no stage, and not where files come from.

mod finding;
mod pairs;
mod photograph;
mod pictures;
mod source;
mod tables;
mod whole;

pub use finding::{DataFinding, FindingLevel};
pub use pairs::{CheckedPair, CheckedPairs, PhotographComparison, compare};
pub use photograph::{
    CheckedClass, CheckedPhotograph, ComparedPart, Examination, LesionPresence, PictureFacts, examine,
};
pub use pictures::{FindingPictures, shown_pair, thumbnail};
pub use source::{CheckedSource, PatientCounts};
pub use tables::{pair_table, source_tables};
pub use whole::{DataCheck, FindingPlace};
