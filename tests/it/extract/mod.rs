//! Tests of what leads from files to patches.

mod image_issues;
mod lab;
mod layouts;
mod made;
mod masks;
mod patch_sets;
mod patches;
mod photographs;
mod readings;
mod real;
mod roles;
mod sources;
