//! Tests of the training kernels and of networks made from them.

mod autograd;
mod convolutions;
mod formula;
mod golden;
mod layers;
mod loading;
mod networks;
mod reference;
