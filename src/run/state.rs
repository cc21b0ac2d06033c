//! States of a run's stages. Every change goes through [`States::set`].

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::StageId;
use crate::store::StageOutcome;

/// State of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Some of its dependencies have not ended.
    Waiting,
    /// All of its inputs are known, but it is not decided yet.
    Ready,
    /// It will run when resources are free.
    Queued,
    /// It is running.
    Running,
    /// Another process is computing it; it takes no resources.
    Elsewhere,
    /// A job of the cluster is to compute it; it takes no resources.
    Submitted,
    /// It ended.
    Ended(StageOutcome),
}

/// The states of a run's stages, with a count of each outcome.
#[derive(Debug)]
pub struct States {
    of: BTreeMap<StageId, State>,
    ended: BTreeMap<StageOutcome, usize>,
}

impl States {
    /// All of `stages`, waiting.
    #[must_use]
    pub fn new(stages: &BTreeSet<StageId>) -> Self {
        Self { of: stages.iter().map(|id| (*id, State::Waiting)).collect(), ended: BTreeMap::new() }
    }

    /// The state of a stage; a stage that is not part of the run is not run.
    #[must_use]
    pub fn get(&self, id: StageId) -> &State {
        self.of.get(&id).unwrap_or(&State::Ended(StageOutcome::NotRun))
    }

    /// Changes the state of a stage.
    ///
    /// # Panics
    /// If an ended stage would change to anything but waiting for its repair: that is a bug in the runner.
    pub fn set(&mut self, id: StageId, state: State) {
        let Some(old) = self.of.get_mut(&id) else { return };
        let again = matches!(state, State::Waiting);
        let ended = matches!(old, State::Ended(outcome) if *outcome != StageOutcome::NotRun);
        assert!(!ended || again, "stage {} was {old:?} and cannot become {state:?}", id.0);
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

    /// All stages and their states.
    pub fn iter(&self) -> impl Iterator<Item = (StageId, &State)> {
        self.of.iter().map(|(id, state)| (*id, state))
    }

    /// How many stages ended this way.
    #[must_use]
    pub fn ended(&self, outcome: StageOutcome) -> usize {
        self.ended.get(&outcome).copied().unwrap_or(0)
    }

    /// How many states satisfy `matches`.
    #[must_use]
    pub fn count(&self, matches: impl Fn(&State) -> bool) -> usize {
        self.of.values().filter(|state| matches(state)).count()
    }
}
