//! CPU kernels for training, over f32 in N x H x W x C. They know no network and no tape.
//!
//! Every kernel splits its work by shape only and sums in a fixed order, so that results are the same for any number of threads. On the
//! same [`Target`] they are also the same on every CPU.

pub mod adaptive;
pub mod attention;
pub mod conv;
mod depthwise;
mod direct;
mod gather;
pub mod join;
pub mod layer_norm;
mod micro;
mod moments;
pub mod norm;
pub mod pixel_mean;
pub mod pooling;
mod product;
pub mod shape;
mod shared;
pub mod smooth;
mod target;
mod vector;
mod winograd;

pub use gather::accumulate;
pub use moments::Moments;
pub use shape::{Begin, Rectify};
pub use shared::BufferPool;
pub use target::{Target, choose, chosen, target};
pub(in crate::engine) use vector::vectorised;
