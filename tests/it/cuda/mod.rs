//! Tests of the GPU kernels without a GPU: their source compiled for the CPU, and by NVRTC if it is installed; and of what is decided
//! about a GPU, with stand-ins that agree, disagree and refuse.

mod cubin;
mod nvrtc;
mod plans;
mod processor;
mod selfcheck;
pub(crate) mod trunk;
mod views;
