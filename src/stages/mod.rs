//! The built-in stages, one file each. Their signatures are in `stdlib/stages/`.

pub mod augment;
pub mod eval;
pub mod synthetic;
pub mod threshold_tune;
pub mod train;

use crate::stage::Implementation;

/// Every implementation, by name.
#[must_use]
pub fn registry() -> &'static [Implementation] {
    const ALL: &[Implementation] =
        &[augment::AUGMENT, eval::EVAL, synthetic::SYNTHETIC, threshold_tune::THRESHOLD_TUNE, train::TRAIN];
    ALL
}

/// The implementation of `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Implementation> {
    registry().iter().find(|implementation| implementation.name == name)
}
