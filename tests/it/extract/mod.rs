//! Tests of what leads from files to patches.

mod lab;
mod masks;
mod patch_sets;
mod patches;
mod photographs;
mod real;
mod sources;
