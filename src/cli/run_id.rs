//! Ids of runs as people type and read them: the shortest beginning of an id's last part that no other run shares.

use super::Failure;
use crate::base::figure::counted;
use crate::run::time;
use crate::store::{RunRecord, Store};

/// Fewest characters of a short id.
const SHORTEST: usize = 4;

/// Maximum number of candidates listed for an ambiguous id.
const LISTED: usize = 10;

/// The ids of all runs of a store, the newest first.
pub(super) struct RunIds(Vec<String>);

impl RunIds {
    /// The runs of a store.
    pub(super) fn of(store: &Store) -> Self {
        Self(store.runs.ids())
    }

    /// Some runs.
    pub(super) fn new(ids: impl IntoIterator<Item = String>) -> Self {
        Self(ids.into_iter().collect())
    }

    /// Whether `macula runs` lists a run.
    pub(super) fn lists(&self, id: &str) -> bool {
        self.0.iter().any(|known| known == id)
    }

    /// The runs that a typed text can mean: the one of that id, or those whose id, or its last part, begins with it; an id may also
    /// be given by its end.
    pub(super) fn matching(&self, typed: &str) -> Vec<&str> {
        if let Some(id) = self.0.iter().find(|id| *id == typed) {
            return vec![id];
        }
        let means = |id: &&str| id.starts_with(typed) || last_part(id).starts_with(typed) || id.ends_with(typed);
        self.0.iter().map(String::as_str).filter(|id| !typed.is_empty() && means(id)).collect()
    }

    /// The shortest text, of at least [`SHORTEST`] characters, that means only this run.
    pub(super) fn short<'a>(&self, id: &'a str) -> &'a str {
        let part = last_part(id);
        let shorter = (SHORTEST..=part.len()).filter_map(|length| part.get(..length));
        shorter.into_iter().find(|text| self.matching(text).iter().all(|other| *other == id)).unwrap_or(id)
    }

    /// The one run that a typed text means.
    ///
    /// # Errors
    /// A [`Failure`] that lists the candidates if there are several, and [`None`] in it if there is none.
    pub(super) fn one(&self, typed: &str, store: &Store) -> Result<Option<&str>, Failure> {
        let found = self.matching(typed);
        if let [] | [_] = found.as_slice() {
            return Ok(found.first().copied());
        }
        let mut words: Vec<String> = found.iter().take(LISTED).map(|id| self.described(id, store)).collect();
        if found.len() > LISTED {
            words.push(format!("and {} more", found.len() - LISTED));
        }
        let count = counted(found.len() as u64, "run", "runs");
        Err(Failure::user(format!("`{typed}` matches {count}")).hint(format!("name one of them: {}", words.join(", "))))
    }

    /// `897e (base, 2026-11-29 06:56)`.
    fn described(&self, id: &str, store: &Store) -> String {
        let facts = store.runs.record(id).map(|run| format!(" ({}, {})", run.pipeline, time::minute(run.began)));
        format!("{}{}", self.short(id), facts.unwrap_or_default())
    }
}

/// `897e52` of `20261129-065656-897e52`: milliseconds and a digest, which differ between the runs of a day.
fn last_part(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(_, part)| part)
}

/// The record of the run that a typed text means; `file` is the pipeline's, for the hint.
///
/// # Errors
/// A [`Failure`] if there is none, or several.
pub(super) fn recorded(store: &Store, typed: &str, file: &str) -> Result<RunRecord, Failure> {
    found(store, typed, &format!("unknown run `{typed}`"), file)
}

/// As [`recorded`], where a pipeline's file can be given instead.
///
/// # Errors
/// A [`Failure`] if there is none, or several.
pub(super) fn recorded_or_file(store: &Store, typed: &str) -> Result<RunRecord, Failure> {
    found(store, typed, &format!("no run and no file `{typed}` or `{typed}.kdl`"), "FILE")
}

fn found(store: &Store, typed: &str, missing: &str, file: &str) -> Result<RunRecord, Failure> {
    let none = || Failure::user(missing).hint(format!("`macula runs {file}` lists the runs of a pipeline"));
    let ids = RunIds::of(store);
    let id = ids.one(typed, store)?.ok_or_else(none)?;
    store.runs.record(id).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> RunIds {
        RunIds::new(ids.iter().map(|id| (*id).to_owned()))
    }

    #[test]
    fn a_short_id_is_as_long_as_it_has_to_be_and_means_its_run() {
        let runs =
            ids(&["20261129-065656-897e52", "20261129-065653-0338dc", "20261128-101010-897e1f", "20261128-1-2026ab"]);
        let short: Vec<&str> = runs.0.iter().map(|id| runs.short(id)).collect();
        assert_eq!(short, ["897e5", "0338", "897e1", "2026a"]);
        for id in &runs.0 {
            assert_eq!(runs.matching(runs.short(id)), [id.as_str()]);
            assert_eq!(runs.matching(id), [id.as_str()]);
        }
        assert_eq!(runs.matching("20261128"), ["20261128-101010-897e1f", "20261128-1-2026ab"]);
        assert_eq!(runs.matching("338dc"), ["20261129-065653-0338dc"]);
        assert!(runs.matching("").is_empty() && runs.matching("99").is_empty());
        // No part of the first is its own.
        let same = ids(&["1-897e52", "2-897e52"]);
        assert_eq!([same.short("1-897e52"), same.short("2-897e52")], ["1-897e52", "2-897e52"]);
    }
}
