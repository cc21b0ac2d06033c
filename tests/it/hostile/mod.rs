//! Files and stores that were made to do harm: an error that names what is wrong, memory that stays bounded, and nothing written
//! outside of the project and its store.

mod files;
mod stores;
