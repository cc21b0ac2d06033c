//! Learning rate schedule over the steps of training. Knows only step numbers.

use crate::stage::{Params, StageError};

/// Learning rate schedule: a factor on every learning rate, per step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Course after the warm-up.
    pub course: Course,
    /// Fraction of all steps over which the rate rises from 0.
    pub warmup: f64,
}

/// Course of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// Constant rate.
    Constant,
    /// Multiplied by `factor` after every `every` epochs.
    Step {
        /// Epochs between drops.
        every: u64,
        /// Factor of a drop.
        factor: f64,
    },
    /// Half a cosine from 1 to `last` over the steps after the warm-up (Loshchilov and Hutter 2017, without restarts).
    Cosine {
        /// Factor at the end.
        last: f64,
    },
}

impl Schedule {
    /// From the parameters of `train`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if they do not match the signature.
    pub fn from_params(params: &Params) -> Result<Self, StageError> {
        let course = match params.text("schedule")? {
            "step" => {
                Course::Step { every: params.count("schedule.every")? as u64, factor: params.real("schedule.factor")? }
            }
            "cosine" => Course::Cosine { last: params.real("schedule.final")? },
            _ => Course::Constant,
        };
        Ok(Self { course, warmup: params.real("schedule.warmup")? })
    }

    /// Factor at `step` (from 0) of `epochs` epochs with `steps_per_epoch` steps each. The warm-up reaches 1 at its last step.
    #[must_use]
    pub fn factor(&self, step: u64, steps_per_epoch: u64, epochs: u64) -> f64 {
        let total = steps_per_epoch * epochs;
        let warm = libm::round(self.warmup * total as f64) as u64;
        let rise = if step < warm { (step + 1) as f64 / warm as f64 } else { 1.0 };
        rise * match self.course {
            Course::Constant => 1.0,
            Course::Step { every, factor } => {
                let drops = step / (every * steps_per_epoch).max(1);
                libm::pow(factor, drops as f64)
            }
            Course::Cosine { last } => {
                let gone = step.saturating_sub(warm) as f64 / total.saturating_sub(warm).max(1) as f64;
                last + (1.0 - last) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * gone))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_rises_over_the_warm_up_and_falls_to_its_end() {
        let schedule = Schedule { course: Course::Cosine { last: 0.1 }, warmup: 0.1 };
        let at = |step| schedule.factor(step, 10, 10);
        assert_eq!(at(0), 0.1);
        assert_eq!(at(9), 1.0);
        assert_eq!(at(10), 1.0);
        assert!((at(55) - 0.55).abs() < 1e-12, "half way down is the mean of both ends");
        assert!(at(99) > 0.1 && at(99) < 0.101);
    }

    #[test]
    fn steps_drop_at_whole_epochs() {
        let schedule = Schedule { course: Course::Step { every: 2, factor: 0.5 }, warmup: 0.0 };
        let at = |step| schedule.factor(step, 3, 6);
        assert_eq!([at(0), at(5), at(6), at(11), at(12)], [1.0, 1.0, 0.5, 0.5, 0.25]);
    }
}
