//! Where each stage of a run stands. Every change goes through [`States::set`].

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::StageId;
use crate::store::StageOutcome;

/// Where a stage stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Something that it needs has not ended.
    Waiting,
    /// All that it needs is known; nothing was decided since.
    Ready,
    /// It will run when there is a slot.
    Queued,
    /// It runs.
    Running,
    /// Another process computes it: it waits for that, and takes no slot.
    Elsewhere,
    /// It ended.
    Ended(StageOutcome),
}

/// The states of a run's stages, and how many ended in which way.
#[derive(Debug)]
pub struct States {
    of: BTreeMap<StageId, State>,
    ended: BTreeMap<StageOutcome, usize>,
}

impl States {
    /// All of `stages` waiting.
    #[must_use]
    pub fn new(stages: &BTreeSet<StageId>) -> Self {
        Self { of: stages.iter().map(|id| (*id, State::Waiting)).collect(), ended: BTreeMap::new() }
    }

    /// Where a stage stands; a stage that is not part of the run is not run.
    #[must_use]
    pub fn get(&self, id: StageId) -> &State {
        self.of.get(&id).unwrap_or(&State::Ended(StageOutcome::NotRun))
    }

    /// Moves a stage on.
    ///
    /// # Panics
    /// Where a stage would leave an end for anything but being repaired: that is a defect of the runner.
    pub fn set(&mut self, id: StageId, state: State) {
        let Some(old) = self.of.get_mut(&id) else { return };
        let again = matches!(state, State::Waiting);
        let ended = matches!(old, State::Ended(outcome) if *outcome != StageOutcome::NotRun);
        assert!(!ended || again, "stage {} was {old:?} and can't become {state:?}", id.0);
        if let State::Ended(outcome) = old
            && let Some(count) = self.ended.get_mut(outcome)
        {
            *count -= 1;
        }
        if let State::Ended(outcome) = state {
            *self.ended.entry(outcome).or_default() += 1;
        }
        *old = state;
    }

    /// All stages and where they stand.
    pub fn iter(&self) -> impl Iterator<Item = (StageId, &State)> {
        self.of.iter().map(|(id, state)| (*id, state))
    }

    /// How many ended so.
    #[must_use]
    pub fn ended(&self, outcome: StageOutcome) -> usize {
        self.ended.get(&outcome).copied().unwrap_or(0)
    }

    /// How many stand where `matches` says.
    #[must_use]
    pub fn count(&self, matches: impl Fn(&State) -> bool) -> usize {
        self.of.values().filter(|state| matches(state)).count()
    }
}
