//! The test sets of several folds as one: each patch is scored once, and no patient is in two folds.

use std::collections::BTreeMap;

use crate::base::figure::{noun, thousands};
use crate::data::patches::{Label, Part, PatchSet};
use crate::data::table::{Column, Columns};
use crate::learn::evaluation::Scores;
use crate::stage::{Named, StageError};
use crate::stages::spread::diagnosis;
use crate::store::{Objects, Tree};

/// Scores of all patches of a set, and the fold that each comes from.
pub(super) struct PooledFolds {
    /// Names of the evaluations.
    pub(super) names: Vec<String>,
    /// Scores, N x C in the order of the set.
    pub(super) scores: Vec<f64>,
    /// Fold of each patch, from 0.
    pub(super) fold: Vec<u32>,
    /// Thresholds of each fold and class, if all folds are tuned.
    pub(super) tuned: Option<Vec<Vec<f64>>>,
    /// Whether any fold is tuned.
    pub(super) some_tuned: bool,
}

/// One evaluation: its metrics, and its table by patch.
struct Fold<'n> {
    name: &'n str,
    scores: Scores,
    table: Columns,
    rows: BTreeMap<(String, u32, u32), usize>,
}

impl PooledFolds {
    /// Scores relative to each fold's thresholds, which become 0.5: decisions and the order within a fold stay the same.
    pub(super) fn relative(&self, tuned: &[Vec<f64>]) -> Vec<f64> {
        let classes = tuned.first().map_or(1, Vec::len);
        let of = |(at, &score): (usize, &f64)| relative(score, tuned[self.fold[at / classes] as usize][at % classes]);
        self.scores.iter().enumerate().map(of).collect()
    }
}

fn relative(score: f64, threshold: f64) -> f64 {
    if score < threshold {
        return (0.5 * score / threshold).min(0.5_f64.next_down());
    }
    if threshold < 1.0 { 0.5 + 0.5 * (score - threshold) / (1.0 - threshold) } else { 0.5 }
}

/// Joins the evaluations of all folds.
///
/// # Errors
/// `one-evaluation`, `classes-differ`, `not-once` or `leak`; store errors.
pub(super) fn pooled(set: &PatchSet, given: &[Named], objects: &Objects) -> Result<PooledFolds, StageError> {
    let folds: Vec<Fold> = given.iter().map(|named| read(named, set, objects)).collect::<Result<_, _>>()?;
    if folds.len() < 2 {
        return Err(StageError::input("one-evaluation", "a single evaluation cannot be pooled")
            .hint("connect the evaluations of all folds: `of fold-1 fold-2`")
            .field("of"));
    }
    let (scores, fold) = each_once(set, &folds)?;
    let thresholds = |fold: &Fold| fold.scores.at_tuned.as_ref().map(|at| at.figures.thresholds.clone());
    let names: Vec<String> = folds.iter().map(|fold| fold.name.to_owned()).collect();
    apart(set, &names, &fold)?;
    Ok(PooledFolds {
        names,
        scores,
        fold,
        tuned: folds.iter().map(thresholds).collect(),
        some_tuned: folds.iter().any(|fold| fold.scores.at_tuned.is_some()),
    })
}

fn read<'n>(named: &'n Named, set: &PatchSet, objects: &Objects) -> Result<Fold<'n>, StageError> {
    let bug = |error: &dyn std::fmt::Display| StageError::Bug(format!("`{}`: {error}", named.name));
    let file = |name: &str| file(&named.tree, name, objects);
    let scores: Scores = serde_json::from_slice(&file("scores.json")?).map_err(|error| bug(&error))?;
    if scores.diagnosis {
        return Err(diagnosis(&named.name));
    }
    if scores.classes != set.info.classes {
        let (ours, theirs) = (set.info.classes.join(" "), scores.classes.join(" "));
        let text = format!("`{}` has classes {theirs}, but `data` has {ours}", named.name);
        return Err(StageError::input("classes-differ", text).hint("pool evaluations of the same patches").field("of"));
    }
    let table = Columns::from_parquet(&file("predictions.parquet")?).map_err(|error| bug(&error))?;
    let names = table.texts("photograph").map_err(|error| bug(&error))?;
    let count = |name: &str| match table.get(name) {
        Some(Column::Count(cells)) => Ok(cells.iter().map(|cell| cell.unwrap_or(0)).collect::<Vec<_>>()),
        _ => Err(bug(&format!("no column `{name}`"))),
    };
    let places = names.iter().zip(count("x")?).zip(count("y")?).enumerate();
    let rows = places.map(|(at, ((name, x), y))| ((name.clone().unwrap_or_default(), x, y), at)).collect();
    Ok(Fold { name: &named.name, scores, table, rows })
}

fn file(tree: &Tree, name: &str, objects: &Objects) -> Result<crate::store::Blob, StageError> {
    let missing = || StageError::Bug(format!("an evaluation without `{name}`"));
    objects.read_in(tree, name)?.ok_or_else(missing)
}

fn not_once(text: String) -> StageError {
    StageError::input("not-once", text)
        .hint("connect one evaluation per fold, of the folds of one split, and as `data` the patches that were split")
        .field("of")
}

/// Scores and fold of each patch of the set.
fn each_once(set: &PatchSet, folds: &[Fold]) -> Result<(Vec<f64>, Vec<u32>), StageError> {
    let mut columns = Vec::new();
    for fold in folds {
        let of_class = |class: &String| match (
            fold.table.get(&format!("score.{class}")),
            fold.table.get(&format!("label.{class}")),
        ) {
            (Some(Column::Real(scores)), Some(Column::Bool(labels))) => Ok((scores, labels)),
            _ => Err(StageError::Bug(format!("`{}` has no scores of `{class}`", fold.name))),
        };
        columns.push(set.info.classes.iter().map(of_class).collect::<Result<Vec<_>, _>>()?);
    }
    let (mut scores, mut of_row) = (Vec::new(), Vec::new());
    let mut missing: Vec<String> = Vec::new();
    let mut used = vec![0; folds.len()];
    for (part, row) in set.parts.iter().flat_map(|part| part.rows.iter().map(move |row| (part, row))) {
        let place = (part.photograph.clone(), row.x, row.y);
        let mut found = folds.iter().enumerate().filter_map(|(at, fold)| Some((at, *fold.rows.get(&place)?)));
        let Some((fold, at)) = found.next() else {
            missing.push(format!("`{}` at {}, {}", part.photograph, row.x, row.y));
            continue;
        };
        if let Some((other, _)) = found.next() {
            let text = format!(
                "the patch of `{}` at {}, {} is scored by `{}` and `{}`",
                part.photograph, row.x, row.y, folds[fold].name, folds[other].name
            );
            return Err(not_once(text));
        }
        for (&label, (column, labels)) in row.labels.iter().zip(&columns[fold]) {
            let known = match labels[at] {
                Some(true) => Label::Present,
                Some(false) => Label::Absent,
                None => Label::Unknown,
            };
            if known != label {
                let text = format!(
                    "`{}` and `data` have different labels for the patch of `{}` at {}, {}",
                    folds[fold].name, part.photograph, row.x, row.y
                );
                return Err(not_once(text));
            }
            scores.push(column[at].unwrap_or(f64::NAN));
        }
        used[fold] += 1;
        of_row.push(fold as u32);
    }
    if let Some(first) = missing.first() {
        let count = missing.len() as u64;
        let (patches, are) = (noun(count, "patch", "patches"), noun(count, "is", "are"));
        return Err(not_once(format!(
            "{} {patches} of `data` {are} not scored; the first is {first}",
            thousands(count)
        )));
    }
    if let Some((fold, extra)) = folds.iter().zip(&used).find(|(fold, used)| fold.rows.len() > **used) {
        let text = format!(
            "`{}` scores {} patches that are not in `data`",
            fold.name,
            thousands((fold.rows.len() - extra) as u64)
        );
        return Err(not_once(text));
    }
    Ok((scores, of_row))
}

/// Rejects a patient or photograph in two folds: the model of each was fitted on the other's patches.
fn apart(set: &PatchSet, names: &[String], fold: &[u32]) -> Result<(), StageError> {
    let mut rows = fold.iter();
    let mut seen: BTreeMap<Vec<u8>, (u32, &Part)> = BTreeMap::new();
    for part in &set.parts {
        for &own in rows.by_ref().take(part.rows.len()) {
            let patient = part.patient.as_ref().map(|name| [b"patient ", name.as_bytes()].concat());
            let photograph = [b"photograph ".as_slice(), part.digest.bytes()].concat();
            for (identity, what) in patient.map(|id| (id, "patient")).into_iter().chain([(photograph, "photograph")]) {
                let &mut (other, first) = seen.entry(identity).or_insert((own, part));
                if other == own {
                    continue;
                }
                let name = part.patient.as_ref().filter(|_| what == "patient").unwrap_or(&part.photograph);
                let same = if what == "photograph" && first.photograph != part.photograph {
                    format!(" (the same image as `{}`)", first.photograph)
                } else {
                    String::new()
                };
                let text = format!(
                    "{what} `{name}`{same} is in the test sets of `{}` and `{}`, so each model was fitted on patches of it",
                    names[other as usize], names[own as usize]
                );
                return Err(StageError::input("leak", text)
                    .hint("split `by patient`, with the same `folds` and seed for every fold")
                    .field("of"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{apart, relative};
    use crate::base::Digest;
    use crate::data::patches::{Part, PatchRow, PatchSet, SetInfo};
    use crate::data::photographs::LabelScheme;

    fn part(photograph: &str, digest: u8, patient: Option<&str>) -> Part {
        let row = PatchRow {
            x: 0,
            y: 0,
            index: 0,
            copies: 1,
            labels: Vec::new(),
            mask_pixels: Vec::new(),
            mask_distance: Vec::new(),
            mean: [0.0; 3],
            deviation: [0.0; 3],
            histogram: [0; 256].into(),
        };
        Part {
            photograph: photograph.to_owned(),
            digest: Digest::from_bytes([digest; 32]),
            patient: patient.map(str::to_owned),
            official: None,
            shard: Part::NO_SHARD,
            embeddings: std::collections::BTreeMap::new(),
            rows: vec![row],
        }
    }

    #[test]
    fn a_patient_or_an_image_in_two_folds_is_refused() {
        let info = SetInfo {
            classes: Vec::new(),
            size: 64,
            margin: 0,
            masks: false,
            scale: 1,
            resampled: false,
            min_pixels: 1,
            min_fraction: 0.0,
            labels: LabelScheme::MultiLabel,
        };
        let names = ["one".to_owned(), "two".to_owned()];
        let refused = |parts: [Part; 2], fold: [u32; 2]| {
            let set = PatchSet { info: info.clone(), embeddings: Vec::new(), parts: parts.into() };
            apart(&set, &names, &fold).err().map(|error| error.to_string())
        };
        let same_patient = || [part("a", 1, Some("p")), part("b", 2, Some("p"))];
        assert_eq!(refused(same_patient(), [0, 0]), None);
        let text = refused(same_patient(), [0, 1]).expect("one patient in two folds");
        assert!(text.contains("patient `p` is in the test sets of `one` and `two`"), "{text}");
        let text = refused([part("a", 1, Some("p")), part("b", 1, Some("q"))], [0, 1]).expect("one image in two folds");
        assert!(text.contains("photograph `b` (the same image as `a`)"), "{text}");
        assert_eq!(refused([part("a", 1, None), part("b", 2, None)], [0, 1]), None);
    }

    #[test]
    fn decisions_and_order_survive_another_threshold() {
        for threshold in [0.0, 1e-300, 0.1, 0.5, 1.0_f64.next_down(), 1.0, 1.5] {
            let scores = [0.0, 1e-308, 0.1_f64.next_down(), 0.1, 0.3, 0.5, 1.0_f64.next_down(), 1.0];
            let found: Vec<f64> = scores.iter().map(|&score| relative(score, threshold)).collect();
            for (&score, &relative) in scores.iter().zip(&found) {
                assert_eq!(score >= threshold, relative >= 0.5, "{score} at {threshold}: {relative}");
            }
            assert!(found.is_sorted(), "{threshold}: {found:?}");
        }
    }
}
