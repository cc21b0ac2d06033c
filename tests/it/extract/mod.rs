//! Tests of what leads from files to patches.

mod lab;
mod layouts;
mod made;
mod masks;
mod patch_sets;
mod patches;
mod photographs;
mod readings;
mod real;
mod mask_issues;
mod roles;
mod sources;
