//! Tests of synthetic photographs and of the stages that derive one patch set from another.

mod combined;
mod filter_black;
mod imported;
mod join;
mod predictions;
mod rebalance;
mod relabel;
mod sets;
mod split;
mod stages;
mod stratify;
mod synthetic;
