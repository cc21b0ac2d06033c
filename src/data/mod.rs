//! Photographs, masks, patch sets and what is done with them. The only floor that knows image files and Parquet.

pub mod patches;
pub mod photographs;
pub mod picture;
pub mod synthetic;
pub mod table;
