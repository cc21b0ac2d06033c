//! Kernels, networks, losses, optimizers, training, metrics, thresholds. The only floor that knows `candle`.

pub mod kernels;
pub mod metrics;
pub mod network;
pub mod thresholds;
