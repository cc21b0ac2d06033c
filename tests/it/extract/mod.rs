//! Tests of sources, decoding and patch extraction.

mod annotation_examples;
mod annotation_mistakes;
mod annotations;
mod data_page;
mod exported;
pub(crate) mod image_files;
mod image_issues;
mod lab;
mod label_mistakes;
mod layouts;
mod lesion_patches;
mod lesions;
mod manifest;
mod masks;
mod patch_sets;
mod patches;
mod photographs;
mod readings;
mod real;
mod relabel;
mod released;
mod roles;
mod sources;
mod splits;
mod tiles;
