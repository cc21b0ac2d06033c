//! Executes what must run. Names no stage; the clock and the environment come in through its [`World`].

pub mod world;

pub use world::World;
