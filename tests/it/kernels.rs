//! Tests of the training kernels and of networks made from them.

mod autograd;
mod auxiliary;
pub(crate) mod candle;
mod checkpoints;
mod convolutions;
pub(crate) mod formula;
mod golden;
mod inputs;
mod layers;
mod loading;
pub(crate) mod networks;
mod reference;
