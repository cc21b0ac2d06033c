//! Training and what follows it: losses, samplers, metrics, thresholds, calibration; pretraining of encoders. Knows no kernel and no GPU library.

pub mod auxiliary;
pub mod calibration;
pub mod checkpoint;
pub mod cross_entropy;
pub mod encoder;
pub mod epochs;
pub mod evaluation;
pub mod fit;
mod last_used;
pub mod lesion_level;
pub mod loader;
pub mod loss;
pub mod maps;
pub mod metrics;
pub mod model;
pub mod model_inputs;
pub mod objective;
pub mod placement;
pub mod pretrain;
pub mod sampler;
pub mod schedule;
pub mod selfcheck;
pub mod spread;
pub mod thresholds;
pub mod trial;
pub mod tta;
pub mod tuning;
