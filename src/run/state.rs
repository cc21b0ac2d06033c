//! Where each stage of a run stands. Every change goes through [`States::set`].

use std::collections::{BTreeMap, BTreeSet};

use super::events::Became;
use crate::plan::StageId;

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
    /// It ended well.
    Ended(Became),
    /// It failed.
    Failed,
    /// It was stopped by the user.
    Stopped,
    /// It is not run, because something that it needs failed or the run was stopped.
    Left,
}

/// The states of a run's stages.
#[derive(Debug)]
pub struct States(BTreeMap<StageId, State>);

impl States {
    /// All of `stages` waiting.
    #[must_use]
    pub fn new(stages: &BTreeSet<StageId>) -> Self {
        Self(stages.iter().map(|id| (*id, State::Waiting)).collect())
    }

    /// Where a stage stands; a stage that is no part of the run is left.
    #[must_use]
    pub fn get(&self, id: StageId) -> &State {
        self.0.get(&id).unwrap_or(&State::Left)
    }

    /// Moves a stage on.
    ///
    /// # Panics
    /// Where a stage would leave an end for anything but being repaired: that is a defect of the runner.
    pub fn set(&mut self, id: StageId, state: State) {
        let Some(old) = self.0.get_mut(&id) else { return };
        let again = matches!(state, State::Waiting);
        let ended = matches!(old, State::Ended(_) | State::Failed | State::Stopped);
        assert!(!ended || again, "stage {} was {old:?} and can't become {state:?}", id.0);
        *old = state;
    }

    /// All stages and where they stand.
    pub fn iter(&self) -> impl Iterator<Item = (StageId, &State)> {
        self.0.iter().map(|(id, state)| (*id, state))
    }

    /// How many stand where `matches` says.
    #[must_use]
    pub fn count(&self, matches: impl Fn(&State) -> bool) -> usize {
        self.0.values().filter(|state| matches(state)).count()
    }
}
