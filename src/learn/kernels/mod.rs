//! Kernels for the CPU: what is hot in training, over f32 in N x H x W x C. They know no network and no tape.
//!
//! Every kernel splits its work by shape alone and sums in a fixed order, so that results are the same for any number of
//! threads. Between processors they are the same on the same [`Path`].

pub mod adaptive;
pub mod conv;
mod depthwise;
mod direct;
mod gather;
pub mod join;
mod micro;
mod moments;
pub mod norm;
mod path;
pub mod pooling;
mod shared;
pub mod smooth;
mod vector;
mod winograd;

pub use gather::{Begin, Rectify, accumulate};
pub use moments::Moments;
pub use path::{Path, choose, chosen, path};
pub use shared::Pool;
pub(in crate::learn) use vector::vectorised;
