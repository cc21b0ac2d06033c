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
    /// Multiplied by `factor` after every `every` units of [`TrainingLength`].
    Step {
        /// Epochs between drops, or steps if the length is in steps.
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

/// Length of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingLength {
    /// Epochs.
    Epochs(u64),
    /// Optimizer steps; the last epoch may be incomplete.
    Steps(u64),
}

/// Steps of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepPlan {
    /// Steps of a complete epoch.
    pub per_epoch: u64,
    /// Steps in all.
    pub total: u64,
    /// Epochs in all, including an incomplete one.
    pub epochs: u64,
    /// Steps per unit of the length: those of an epoch, or 1.
    pub unit: u64,
}

impl TrainingLength {
    /// From the parameters of `train`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if they do not match the signature.
    pub fn from_params(params: &Params) -> Result<Self, StageError> {
        Ok(match params.count_or_none("steps")? {
            Some(steps) => Self::Steps(steps as u64),
            None => Self::Epochs(params.count("epochs")? as u64),
        })
    }

    /// Steps of a training whose epochs have `per_epoch` steps, at least 1.
    #[must_use]
    pub const fn plan(self, per_epoch: u64) -> StepPlan {
        match self {
            Self::Epochs(epochs) => StepPlan { per_epoch, total: per_epoch * epochs, epochs, unit: per_epoch },
            Self::Steps(total) => StepPlan { per_epoch, total, epochs: total.div_ceil(per_epoch), unit: 1 },
        }
    }
}

impl StepPlan {
    /// Steps of an epoch, from 1: fewer in the last one if it is incomplete.
    #[must_use]
    pub fn steps_of(&self, epoch: u64) -> u64 {
        self.per_epoch.min(self.total.saturating_sub((epoch - 1) * self.per_epoch))
    }
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

    /// Factor at `step` (from 0) of a training. The warm-up reaches 1 at its last step.
    #[must_use]
    pub fn factor(&self, step: u64, course: &StepPlan) -> f64 {
        let StepPlan { total, unit, .. } = *course;
        let warm = libm::round(self.warmup * total as f64) as u64;
        let rise = if step < warm { (step + 1) as f64 / warm as f64 } else { 1.0 };
        rise * match self.course {
            Course::Constant => 1.0,
            Course::Step { every, factor } => {
                let drops = step / (every * unit).max(1);
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
        let plan = TrainingLength::Epochs(10).plan(10);
        let at = |step| schedule.factor(step, &plan);
        assert_eq!(at(0), 0.1);
        assert_eq!(at(9), 1.0);
        assert_eq!(at(10), 1.0);
        assert!((at(55) - 0.55).abs() < 1e-12, "half way down is the mean of both ends");
        assert!(at(99) > 0.1 && at(99) < 0.101);
    }

    #[test]
    fn steps_drop_at_whole_epochs() {
        let schedule = Schedule { course: Course::Step { every: 2, factor: 0.5 }, warmup: 0.0 };
        let plan = TrainingLength::Epochs(6).plan(3);
        let at = |step| schedule.factor(step, &plan);
        assert_eq!([at(0), at(5), at(6), at(11), at(12)], [1.0, 1.0, 0.5, 0.5, 0.25]);
        let plan = TrainingLength::Steps(7).plan(3);
        let at = |step| schedule.factor(step, &plan);
        assert_eq!([at(0), at(1), at(2), at(4)], [1.0, 1.0, 0.5, 0.25], "in steps if the length is");
    }

    #[test]
    fn the_schedule_of_a_number_of_steps_does_not_depend_on_the_size_of_an_epoch() {
        let schedule = Schedule { course: Course::Cosine { last: 0.0 }, warmup: 0.2 };
        let rates = |per_epoch| {
            let plan = TrainingLength::Steps(50).plan(per_epoch);
            (0..50).map(|step| schedule.factor(step, &plan)).collect::<Vec<_>>()
        };
        assert_eq!(rates(7), rates(1000));
        let plan = TrainingLength::Steps(50).plan(7);
        assert_eq!((plan.epochs, plan.steps_of(1), plan.steps_of(7), plan.steps_of(8)), (8, 7, 7, 1));
        assert_eq!(TrainingLength::Steps(50).plan(1000).steps_of(1), 50);
    }
}
