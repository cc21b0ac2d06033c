//! Tests of what leads from files to patches.

mod patch_sets;
