//! What a training step computes: kernels, networks, optimizers, GPUs, and the pixels that a network is fed with. The only floor that
//! is optimised for speed above all. Knows no photograph, no patch set and no metric.

pub mod augment;
pub mod gpu;
pub mod kernels;
pub mod network;
pub mod normalise;
pub mod optimizer;
pub mod views;
