//! Looks at test sets: each evaluation of a test set is a line of a file in the project, so that everybody sees how often its photographs have
//! been evaluated before. Knows no stage.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::base::figure::{counted, ordinal};
use crate::base::flock::{self, LockMode};
use crate::store::Tree;

/// Name of the file, in the project's folder.
pub const FILE: &str = "test-looks.jsonl";

/// Type of outputs with metrics.
pub const METRICS: &str = "scores";

/// File of a result with the predictions behind its metrics.
const PREDICTIONS: &str = "predictions.parquet";

/// An evaluation of a test set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Look {
    /// When a run first had its metrics, UTC.
    pub time: String,
    /// The pipeline or sweep.
    pub pipeline: String,
    /// The evaluating stage.
    pub stage: String,
    /// Its metrics, in a line.
    pub metrics: String,
    /// How many photographs the test set has.
    pub photographs: u64,
    /// Digest of the original files of its photographs: patches, names and preprocessing do not matter.
    pub test_set: Digest,
    /// Digest of the predictions: an evaluation that only computes other metrics is the same look.
    pub predictions: Digest,
}

/// Position of a look among those at its test set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LookPosition {
    /// Its number, from 1.
    pub look: u64,
    /// How many there are so far.
    pub of: u64,
    /// How many photographs the test set has.
    pub photographs: u64,
}

/// Looks of a run at test sets that have as many looks so far; one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LooksSoFar {
    /// The evaluating stages.
    pub stages: Vec<String>,
    /// How many test sets.
    pub test_sets: u64,
    /// How many photographs each has; [`None`] if they differ.
    pub photographs: Option<u64>,
    /// How often each has been looked at so far.
    pub looks: u64,
    /// How many of these looks are new.
    pub new: u64,
}

impl LookPosition {
    /// `third of 5 looks at this test set (10 photographs)`.
    #[must_use]
    pub fn words(&self) -> String {
        let photographs = counted(self.photographs, "photograph", "photographs");
        match self.of {
            1 => format!("the only look at this test set so far ({photographs})"),
            of => format!("{} of {of} looks at this test set ({photographs})", ordinal(self.look)),
        }
    }
}

impl LooksSoFar {
    /// `third look at the test set of `scores` (10 photographs)`.
    #[must_use]
    pub fn words(&self) -> String {
        const NAMED: usize = 2;
        let named = self.stages.iter().take(NAMED).map(|stage| format!("`{stage}`")).collect::<Vec<_>>();
        let more = self.stages.len().saturating_sub(NAMED);
        let named = match (named.as_slice(), more) {
            ([one, other], 0) => format!("{one} and {other}"),
            (named, 0) => named.concat(),
            (named, more) => format!("{} and {more} more", named.join(", ")),
        };
        let photographs = |count| counted(count, "photograph", "photographs");
        let sets = match (self.test_sets, self.photographs) {
            (1, Some(count)) => format!("the test set of {named} ({})", photographs(count)),
            (1, None) => format!("the test set of {named}"),
            (sets, _) => format!("each of the {sets} test sets of {named}"),
        };
        match self.new {
            1 => format!("{} look at {sets}", ordinal(self.looks)),
            0 => format!("{} looks at {sets} so far", self.looks),
            new => format!("{} looks at {sets} so far, {new} of them in this run", self.looks),
        }
    }
}

/// The looks of a project.
#[derive(Clone, Debug, Default)]
pub struct TestLooks {
    looks: Vec<Look>,
}

impl TestLooks {
    /// Those in a project's folder; none if there is no file. Other lines, which a merge may leave, are skipped.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(project: &Path) -> io::Result<Self> {
        match std::fs::read_to_string(project.join(FILE)) {
            Ok(text) => Ok(Self::of(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn of(text: &str) -> Self {
        let mut found = Self::default();
        for look in text.lines().filter_map(|line| serde_json::from_str::<Look>(line).ok()) {
            // Two copies of a project may have recorded the same one.
            if !found.has(&look) {
                found.looks.push(look);
            }
        }
        // RFC 3339 times in UTC sort as text; equal ones stay in the order of the lines.
        found.looks.sort_by(|one, other| one.time.cmp(&other.time));
        found
    }

    fn has(&self, look: &Look) -> bool {
        self.looks.iter().any(|known| known.test_set == look.test_set && known.predictions == look.predictions)
    }

    /// The position of the evaluation with these predictions; [`None`] if it is not recorded.
    #[must_use]
    pub fn position(&self, predictions: &Digest) -> Option<LookPosition> {
        let own = self.looks.iter().rfind(|look| look.predictions == *predictions)?;
        let same: Vec<&Look> = self.looks.iter().filter(|look| look.test_set == own.test_set).collect();
        let look = same.iter().position(|look| look.predictions == *predictions)? as u64 + 1;
        Some(LookPosition { look, of: same.len() as u64, photographs: own.photographs })
    }

    fn count(&self, test_set: &Digest) -> u64 {
        self.looks.iter().filter(|look| look.test_set == *test_set).count() as u64
    }
}

/// Digest of the predictions behind the metrics in an output of type `ty`; [`None`] if it has none.
#[must_use]
pub fn predictions(ty: &str, tree: &Tree) -> Option<Digest> {
    tree.get(PREDICTIONS).filter(|_| ty == METRICS).map(|entry| entry.digest)
}

/// Appends the looks that a file does not have; returns all, and those that were appended.
pub(super) fn add(path: &Path, looks: &[Look]) -> io::Result<(TestLooks, Vec<Look>)> {
    let there = std::fs::read_to_string(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(String::new()),
        _ => Err(error),
    })?;
    let known = TestLooks::of(&there);
    if looks.iter().all(|look| known.has(look)) {
        return Ok((known, Vec::new()));
    }
    let target: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut file = flock::open(&target)?;
    flock::lock(&file, LockMode::Exclusive)?;
    // Another run may have added some meanwhile.
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let mut all = TestLooks::of(&text);
    let mut new = Vec::new();
    let mut lines = String::new();
    if !text.is_empty() && !text.ends_with('\n') {
        lines.push('\n');
    }
    for look in looks {
        if !all.has(look) {
            lines.push_str(&serde_json::to_string(look)?);
            lines.push('\n');
            all.looks.push(look.clone());
            new.push(look.clone());
        }
    }
    // One write at the end, where reading has left off.
    file.write_all(lines.as_bytes())?;
    file.flush()?;
    Ok((all, new))
}

/// What to say of the looks of a run: nothing of a first look, and one thing of all sets that have been looked at equally often.
pub(super) fn so_far(looks: &[Look], all: &TestLooks, new: &[Look]) -> Vec<LooksSoFar> {
    let mut groups: BTreeMap<(u64, u64), Vec<&Look>> = BTreeMap::new();
    for look in looks {
        let added = new.iter().filter(|one| one.test_set == look.test_set).count() as u64;
        groups.entry((all.count(&look.test_set), added)).or_default().push(look);
    }
    let group = |((looks, new), of): ((u64, u64), Vec<&Look>)| {
        let sets: BTreeSet<Digest> = of.iter().map(|look| look.test_set).collect();
        let sizes: BTreeSet<u64> = of.iter().map(|look| look.photographs).collect();
        let mut stages: Vec<String> = Vec::new();
        for look in of {
            let stage = crate::lang::spec::base_name(&look.stage).to_owned();
            if !stages.contains(&stage) {
                stages.push(stage);
            }
        }
        let photographs = if sizes.len() == 1 { sizes.first().copied() } else { None };
        LooksSoFar { stages, test_sets: sets.len() as u64, photographs, looks, new }
    };
    groups.into_iter().filter(|((looks, _), _)| *looks > 1).map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(time: &str, test_set: &str, predictions: &str) -> Look {
        Look {
            time: time.to_owned(),
            pipeline: "p".to_owned(),
            stage: "scores@point-1".to_owned(),
            metrics: "mean average precision 0.500".to_owned(),
            photographs: 10,
            test_set: Digest::of(test_set.as_bytes()),
            predictions: Digest::of(predictions.as_bytes()),
        }
    }

    #[test]
    fn a_look_is_recorded_once_and_counted_in_order_of_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let first = look("2026-11-30T15:00:00Z", "a", "1");
        let (_, new) = add(&path, std::slice::from_ref(&first)).expect("written");
        assert_eq!(new.len(), 1);
        let again = Look { time: "2026-11-30T16:00:00Z".to_owned(), ..first.clone() };
        let other = look("2026-11-30T14:00:00Z", "a", "2");
        let (all, new) = add(&path, &[again, other.clone(), look("2026-11-30T17:00:00Z", "b", "1")]).expect("written");
        assert_eq!(new.len(), 2, "the same predictions of the same photographs are no new look");
        assert_eq!(all.count(&first.test_set), 2);
        let read = TestLooks::read(folder.path()).expect("read");
        assert_eq!(read.position(&other.predictions), Some(LookPosition { look: 1, of: 2, photographs: 10 }));
        assert_eq!(read.position(&Digest::of(b"3")), None);
    }

    #[test]
    fn other_lines_are_kept_and_skipped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        std::fs::write(&path, "<<<<<<< ours").expect("written");
        add(&path, &[look("2026-11-30T15:00:00Z", "a", "1")]).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.starts_with("<<<<<<< ours\n{\"time\":"), "{text}");
        assert_eq!(TestLooks::of(&text).looks.len(), 1);
    }

    #[test]
    fn words_say_which_look_it_is() {
        let looks: Vec<Look> = ["1", "2", "3"].map(|one| look("2026-11-30T15:00:00Z", "a", one)).into();
        let all = TestLooks { looks: looks.clone() };
        let words = |mine: &[Look], new: &[Look]| {
            so_far(mine, &all, new).iter().map(LooksSoFar::words).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(words(&looks[2..], &looks[2..]), "third look at the test set of `scores` (10 photographs)");
        assert_eq!(words(&looks[2..], &[]), "3 looks at the test set of `scores` (10 photographs) so far");
        let two = words(&looks[1..], &looks[1..]);
        assert_eq!(two, "3 looks at the test set of `scores` (10 photographs) so far, 2 of them in this run");
        let one = TestLooks { looks: looks[..1].to_vec() };
        assert!(so_far(&looks[..1], &one, &looks[..1]).is_empty(), "a first look is as it should be");
    }
}
