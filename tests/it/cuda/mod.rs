//! Tests of what a GPU executes, without one: the kernels' text compiled for the processor, and by NVRTC where that is there.

mod nvrtc;
mod processor;
mod trunk;
mod views;
