//! Training: losses, optimizers, augmentation, samplers, and whole fits.

mod arithmetic;
mod auxiliary;
mod curve;
mod engines;
mod fitting;
mod inputs;
mod killed;
mod lengths;
mod longer;
mod made;
mod mixing;
mod models;
mod pretraining;
mod sampling;
mod views;

use serde_json::Value;

/// Values computed by a script of `tests/expected`.
fn expected(name: &str) -> Value {
    let path = format!("{}/tests/expected/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("committed")).expect("JSON")
}

fn reals(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}
