//! Tests of the store, the plan and the runner, with small stages of their own.

mod bench;
mod collection;
mod damage;
mod disk;
mod edits;
mod elsewhere;
mod items;
mod keys;
mod killed;
mod limits;
mod many;
mod records;
mod results;
mod reuse;
mod runs;
mod stages;
mod store;
mod sweeps;
mod threads;
mod upkeep;
