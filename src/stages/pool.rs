//! `pool`: one evaluation of the test sets of all folds. Which patch belongs to which fold is in `folds`.

mod folds;

use self::folds::{PooledFolds, pooled};
use super::eval::{show, zero_division};
use super::threshold_tune::{natural, not_empty, several_labels};
use super::whole::{FILE, whole};
use crate::data::patches::PatchSet;
use crate::data::table::{Column, Columns};
use crate::lang::value::Value;
use crate::learn::evaluation::{
    ExamplePatch, HALF, ScoredSet, Scores, curves, evaluate, examples, predictions, reliability_bins,
};
use crate::learn::metrics::{
    LabelledScores, Mean, Ranking, ZeroDivision, intervals_over_folds, mean_average_precision, ranking,
};
use crate::report::scores::summary;
use crate::stage::{Cell, Ctx, Determinism, Implementation, Outcome, StageError, Table, Warning, Work};
use crate::store::Tree;

/// The implementation.
pub const POOL: Implementation = Implementation {
    name: "pool",
    version: 3,
    // Only evaluations of calibration, which has intervals since.
    revised: Some(|params| if matches!(params.get("calibration"), Some(Value::Bool(true))) { 3 } else { 2 }),
    seeded: true,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("data")?, ctx.objects)?;
    natural(&set.info)?;
    not_empty(&set)?;
    let folds = pooled(&set, ctx.inputs.many("of"), ctx.objects)?;
    if folds.some_tuned {
        several_labels(&set.info, "thresholds", "evaluate the folds without `thresholds`")?;
    }
    let zero = zero_division(ctx.params)?;
    let raw = ScoredSet::of_scores(&set, folds.scores.clone());
    let mut scores = scores(&raw, &folds, zero, ctx);
    let whole = whole(ctx, &raw, &folds.fold)?;
    let (whole, whole_table) = whole.unzip();
    scores.whole = whole;
    if ctx.params.flag("calibration")? {
        scores.calibration = Some(raw.reliability(&ctx.streams));
    }
    let bug = |error: &dyn std::fmt::Display| StageError::Bug(error.to_string());
    let mut tree = Tree::default();
    tree.insert("scores.json", ctx.objects.put(&serde_json::to_vec_pretty(&scores).map_err(|error| bug(&error))?)?);
    let table = table(&raw, &folds).to_parquet().map_err(|error| bug(&error))?;
    tree.insert("predictions.parquet", ctx.objects.put(&table)?);
    if let Some(table) = whole_table {
        tree.insert(FILE, ctx.objects.put(&table.to_parquet().map_err(|error| bug(&error))?)?);
    }
    let table = curves(&ranks(&raw.scored, &folds), &set.info.classes).to_parquet().map_err(|error| bug(&error))?;
    tree.insert("curves.parquet", ctx.objects.put(&table)?);
    if let Some(found) = &scores.calibration {
        let table = reliability_bins(found, &scores.classes).to_parquet().map_err(|error| bug(&error))?;
        tree.insert("reliability.parquet", ctx.objects.put(&table)?);
    }
    let chosen = chosen(&set, &raw, &folds);
    show(&raw, &chosen, &mut tree, ctx.objects)?;
    tree.insert("examples.json", ctx.objects.put(&serde_json::to_vec_pretty(&chosen).map_err(|error| bug(&error))?)?);
    let mut summary = summary(&scores);
    summary.headline = format!("{} folds: {}", folds.names.len(), summary.headline);
    summary.tables.insert(1, of_folds(&raw, &folds));
    if folds.tuned.is_none() && folds.some_tuned {
        let text = "not all folds have tuned thresholds; decisions are at 0.5".to_owned();
        summary.warnings.push(Warning { code: "thresholds-differ".to_owned(), text });
    }
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// Rows of each fold.
fn rows(folds: &PooledFolds) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); folds.names.len()];
    for (row, &fold) in folds.fold.iter().enumerate() {
        rows[fold as usize].push(row);
    }
    rows
}

/// All metrics: ranking metrics are means over folds, all others are of the pooled decisions.
fn scores(raw: &ScoredSet<'_>, folds: &PooledFolds, zero: ZeroDivision, ctx: &Ctx<'_>) -> Scores {
    let mut scores = evaluate(raw, None, zero, &ctx.streams);
    let in_folds: Vec<Vec<Ranking>> = rows(folds).into_iter().map(|rows| ranking(&raw.scored.take(rows))).collect();
    let mean = |of: &dyn Fn(&Ranking) -> Option<f64>, class: usize| {
        Mean::of(in_folds.iter().map(|fold| of(&fold[class]))).value
    };
    for (class, found) in scores.ranking.iter_mut().enumerate() {
        found.average_precision = mean(&|of| of.average_precision, class);
        found.auroc = mean(&|of| of.auroc, class);
    }
    scores.mean_average_precision = mean_average_precision(&scores.ranking);
    scores.mean_auroc = Mean::of(scores.ranking.iter().map(|class| class.auroc));
    scores.within_photograph = Some(raw.within_photograph());
    let half = vec![HALF; raw.scored.classes()];
    scores.intervals = intervals_over_folds(&raw.scored, &raw.groups(), &folds.fold, &[half], zero, &ctx.streams);
    if let Some(tuned) = &folds.tuned {
        let relative = ScoredSet::of_scores(raw.set, folds.relative(tuned));
        let decided = evaluate(&relative, None, zero, &ctx.streams);
        let mut at = decided.at_half;
        at.figures.thresholds = mean_thresholds(tuned);
        scores.at_tuned = Some(at);
        if let (Some(own), Some(decided)) = (&mut scores.intervals, decided.intervals) {
            own.f1.extend(decided.f1);
            own.micro_f1.extend(decided.micro_f1);
            own.macro_f1.extend(decided.macro_f1);
            own.hamming_loss.extend(decided.hamming_loss);
            own.subset_accuracy.extend(decided.subset_accuracy);
            own.dropped.macro_f1.extend(decided.dropped.macro_f1);
        }
    }
    scores
}

/// Mean threshold of each class over folds, for display.
fn mean_thresholds(tuned: &[Vec<f64>]) -> Vec<f64> {
    let classes = tuned.first().map_or(0, Vec::len);
    (0..classes).map(|class| tuned.iter().map(|fold| fold[class]).sum::<f64>() / tuned.len() as f64).collect()
}

/// As that of `eval`, with the fold of each patch.
fn table(raw: &ScoredSet<'_>, folds: &PooledFolds) -> Columns {
    let mut table = predictions(raw, None);
    table.push("fold", Column::Count(folds.fold.iter().map(|fold| Some(fold + 1)).collect()));
    let Some(tuned) = &folds.tuned else { return table };
    for (class, name) in raw.set.info.classes.iter().enumerate() {
        let decided = raw.scored.iter().zip(&folds.fold);
        let decided = decided.map(|((scores, _), &fold)| Some(scores[class] >= tuned[fold as usize][class]));
        table.push(format!("tuned.{name}"), Column::Bool(decided.collect()));
    }
    table
}

/// Scores replaced by the fraction of the fold's patches that score less, ties counting half.
fn ranks(scored: &LabelledScores, folds: &PooledFolds) -> LabelledScores {
    let classes = scored.classes();
    let mut ranks = vec![0.0; scored.scores().len()];
    for rows in rows(folds) {
        for class in 0..classes {
            let mut order: Vec<(f64, usize)> =
                rows.iter().map(|row| (scored.scores()[row * classes + class], row * classes + class)).collect();
            order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut below = 0;
            for tied in order.chunk_by(|a, b| a.0 == b.0) {
                let rank = (2 * below + tied.len()) as f64 / (2 * order.len()) as f64;
                for &(_, at) in tied {
                    ranks[at] = rank;
                }
                below += tied.len();
            }
        }
    }
    LabelledScores::new(classes, ranks, scored.labels().to_vec())
}

/// Examples by scores relative to each fold's thresholds, shown with their own scores.
fn chosen(set: &PatchSet, raw: &ScoredSet<'_>, folds: &PooledFolds) -> Vec<ExamplePatch> {
    let half = vec![HALF; set.info.classes.len()];
    let Some(tuned) = &folds.tuned else { return examples(raw, &half) };
    let mut chosen = examples(&ScoredSet::of_scores(set, folds.relative(tuned)), &half);
    for example in &mut chosen {
        example.score = folds.scores[example.row * half.len() + example.class];
    }
    chosen
}

/// Size and average precision of each fold.
fn of_folds(raw: &ScoredSet<'_>, folds: &PooledFolds) -> Table {
    let photographs = raw.photographs();
    let row = |(name, rows): (&String, Vec<usize>)| {
        let mut here: Vec<u32> = rows.iter().map(|&row| photographs[row]).collect();
        here.dedup();
        let mean = mean_average_precision(&ranking(&raw.scored.take(rows.iter().copied()))).value;
        let int = |count: usize| Cell::Int(count as i64);
        vec![Cell::Text(name.clone()), int(rows.len()), int(here.len()), mean.map_or(Cell::Null(()), Cell::Real)]
    };
    let rows = folds.names.iter().zip(rows(folds)).map(row).collect();
    let columns = ["fold", "patches", "photographs", "mean AP"].map(str::to_owned).to_vec();
    Table { title: "folds".to_owned(), columns, rows }
}
