//! Photographs, masks, patch sets and what is done with them. The only floor that knows image files and Parquet.

pub mod bitmap;
pub mod black;
pub mod canvas;
pub mod change;
pub mod counts;
pub mod cut;
pub mod cutting;
pub mod decode;
pub mod gallery;
pub mod gathering;
pub mod grid;
pub mod item;
pub mod leak;
pub mod mask;
pub mod names;
pub mod patches;
pub mod pattern;
pub mod photographs;
pub mod picture;
pub mod rebalance;
pub mod sheet;
pub mod split;
pub mod stratify;
pub mod synthetic;
pub mod table;
pub mod tiff;
