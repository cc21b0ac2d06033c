//! The built-in stages, one file each. Their signatures are in `stdlib/stages/`.

pub mod annotations;
pub mod augment;
pub mod average;
mod background;
pub mod calibrate;
pub mod combine;
pub mod ddr;
pub mod e_ophtha;
pub mod encode;
pub mod eval;
pub mod exec;
pub mod export;
pub mod extract;
pub mod fgadr;
pub mod files;
pub mod filter_black;
pub mod filter_white;
mod fitting;
pub mod folder;
pub mod froc;
mod given_scores;
pub mod heat_map;
pub mod idrid;
pub mod import_model;
pub mod import_patches;
mod inference;
pub mod join;
pub mod lesions;
pub mod manifest;
pub mod near_duplicates;
pub mod pool;
pub mod predict;
pub mod preprocess;
pub mod pretrain;
pub mod rebalance;
pub mod relabel;
pub mod report;
pub mod slice;
pub mod split;
pub mod spread;
pub mod suspects;
pub mod synthetic;
pub mod threshold_tune;
pub mod train;
pub mod weights;
mod whole;

use crate::stage::Implementation;

/// Every implementation, by name.
#[must_use]
pub fn registry() -> &'static [Implementation] {
    const ALL: &[Implementation] = &[
        annotations::ANNOTATIONS,
        augment::AUGMENT,
        average::AVERAGE,
        calibrate::CALIBRATE,
        combine::COMBINE,
        ddr::DDR,
        e_ophtha::E_OPHTHA,
        encode::ENCODE,
        eval::EVAL,
        exec::EXEC,
        export::EXPORT,
        extract::EXTRACT,
        fgadr::FGADR,
        idrid::IDRID,
        import_model::IMPORT_MODEL,
        import_patches::IMPORT_PATCHES,
        join::JOIN,
        lesions::LESIONS,
        filter_black::FILTER_BLACK,
        filter_white::FILTER_WHITE,
        froc::FROC,
        heat_map::HEAT_MAP,
        near_duplicates::NEAR_DUPLICATES,
        pool::POOL,
        predict::PREDICT,
        preprocess::PREPROCESS,
        pretrain::PRETRAIN,
        rebalance::REBALANCE,
        relabel::RELABEL,
        report::REPORT,
        slice::SLICE,
        split::SPLIT,
        spread::SPREAD,
        suspects::SUSPECTS,
        synthetic::SYNTHETIC,
        threshold_tune::THRESHOLD_TUNE,
        train::TRAIN,
        weights::WEIGHTS,
        folder::FOLDER,
        manifest::MANIFEST,
        files::FILES,
        files::PROGRAM,
    ];
    ALL
}

/// The implementation of `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Implementation> {
    registry().iter().find(|implementation| implementation.name == name)
}
