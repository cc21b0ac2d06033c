//! Kernels, networks, losses, optimizers, training, metrics, thresholds. The only floor that knows `candle`.

pub mod augment;
pub mod auxiliary;
pub mod checkpoint;
pub mod encoder;
pub mod evaluation;
pub mod fit;
pub mod gpu;
pub mod kernels;
pub mod loader;
pub mod loss;
pub mod maps;
pub mod metrics;
pub mod model;
pub mod model_inputs;
pub mod network;
pub mod normalise;
pub mod objective;
pub mod optimizer;
pub mod sampler;
pub mod schedule;
pub mod spread;
pub mod thresholds;
pub mod trial;
pub mod tta;
pub mod tuning;
pub mod views;
