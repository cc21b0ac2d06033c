//! The built-in stages, one file each. Their signatures are in `stdlib/stages/`.

pub mod augment;
pub mod eval;
pub mod export;
pub mod extract;
pub mod filter_black;
pub mod idrid;
pub mod rebalance;
pub mod split;
pub mod synthetic;
pub mod threshold_tune;
pub mod train;

use crate::stage::Implementation;

/// Every implementation, by name.
#[must_use]
pub fn registry() -> &'static [Implementation] {
    const ALL: &[Implementation] = &[
        augment::AUGMENT,
        eval::EVAL,
        export::EXPORT,
        extract::EXTRACT,
        idrid::IDRID,
        filter_black::FILTER_BLACK,
        rebalance::REBALANCE,
        split::SPLIT,
        synthetic::SYNTHETIC,
        threshold_tune::THRESHOLD_TUNE,
        train::TRAIN,
    ];
    ALL
}

/// The implementation of `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Implementation> {
    registry().iter().find(|implementation| implementation.name == name)
}
