//! Exponential moving average of weights and running statistics. Knows no network and no file.

use rayon::prelude::*;

/// Entries per unit of parallel work.
const CHUNK: usize = 1 << 14;

/// Moving average of all values of a network.
pub(super) struct MovingAverage {
    decay: f64,
    /// Parameters.
    pub(super) flat: Vec<f32>,
    /// Running statistics of batch norms.
    pub(super) running: Vec<f32>,
}

impl MovingAverage {
    /// Average that starts at these values.
    pub(super) fn new(decay: f64, flat: &[f32], running: &[f32]) -> Self {
        Self { decay, flat: flat.to_vec(), running: running.to_vec() }
    }

    /// Moves the average towards the values after step `step`, from 1.
    pub(super) fn update(&mut self, step: u64, flat: &[f32], running: &[f32]) {
        let rest = (1.0 - decay_at(step, self.decay)) as f32;
        // As `torch.lerp`: both ends are exact.
        let between = |own: f32, value: f32| {
            if rest < 0.5 { own + rest * (value - own) } else { value - (value - own) * (1.0 - rest) }
        };
        for (own, values) in [(&mut self.flat, flat), (&mut self.running, running)] {
            own.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(own, values)| {
                own.iter_mut().zip(values).for_each(|(own, value)| *own = between(*own, *value));
            });
        }
    }
}

/// Decay of step `step`, from 1. While few steps have been taken, it is (1 + t)/(10 + t), as in TensorFlow's `ExponentialMovingAverage` with
/// `num_updates`, so that the initial weights are soon forgotten.
fn decay_at(step: u64, decay: f64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_warms_up_and_then_decays_by_its_constant() {
        assert_eq!([1, 10, 8990, 1_000_000].map(|step| decay_at(step, 0.999)), [2.0 / 11.0, 0.55, 0.999, 0.999]);
        let mut average = MovingAverage::new(0.5, &[1.0, 0.0], &[4.0]);
        average.update(1, &[1.0, 11.0], &[-7.0]);
        assert_eq!(average.flat, [1.0, 9.0], "a value that does not move is its own average");
        assert!((average.running[0] + 5.0).abs() < 1e-6);
        average.update(100, &[1.0, 11.0], &[-5.0]);
        assert_eq!(average.flat, [1.0, 10.0]);
    }
}
