//! Outcomes of runs and stages. Their names are part of the record format.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// Outcome of a stage in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageOutcome {
    /// Computed in this run.
    Computed,
    /// Its result was cached.
    Reused,
    /// Computed in this run because stored bytes were damaged.
    Repaired,
    /// A source, read in every run.
    Source,
    /// Ended with an error.
    Failed,
    /// Stopped by the user.
    Stopped,
    /// Never started: a dependency failed, or the run was stopped.
    NotRun,
}

impl StageOutcome {
    /// Name in records and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Reused => "reused",
            Self::Repaired => "repaired",
            Self::Source => "source",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::NotRun => "not-run",
        }
    }

    /// Whether the stage was computed in this run, for any reason.
    #[must_use]
    pub const fn is_computed(self) -> bool {
        matches!(self, Self::Computed | Self::Repaired)
    }
}

impl Display for StageOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Outcome of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// Still running, or killed.
    #[default]
    #[serde(alias = "")]
    Running,
    /// Every stage has its result.
    Done,
    /// A stage failed.
    Failed,
    /// Stopped by the user.
    Stopped,
}

impl RunOutcome {
    /// Name in records and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl Display for RunOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[test]
fn outcomes_are_recorded_by_their_names() {
    use StageOutcome::{Computed, Failed, NotRun, Repaired, Reused, Source, Stopped};
    for outcome in [Computed, Reused, Repaired, Source, Failed, Stopped, NotRun] {
        let text = serde_json::to_string(&outcome).expect("JSON");
        assert_eq!(text, format!("\"{outcome}\""));
        assert_eq!(serde_json::from_str::<StageOutcome>(&text).expect("an outcome"), outcome);
    }
    for outcome in [RunOutcome::Running, RunOutcome::Done, RunOutcome::Failed, RunOutcome::Stopped] {
        assert_eq!(serde_json::to_string(&outcome).expect("JSON"), format!("\"{outcome}\""));
    }
    assert_eq!(serde_json::from_str::<RunOutcome>("\"\"").expect("an old record"), RunOutcome::Running);
}
