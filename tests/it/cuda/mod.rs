//! Tests of the GPU kernels without a GPU: their source compiled for the CPU, and by NVRTC if it is installed.

mod nvrtc;
mod processor;
pub(crate) mod trunk;
mod views;
