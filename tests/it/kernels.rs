//! Tests of the training kernels and of networks made from them.

mod formula;
mod reference;
