//! `spread`: mean and standard deviation over several evaluations.

use crate::base::figure::{counted, metric};
use crate::learn::evaluation::Scores;
use crate::learn::spread::{EvaluationSpread, MetricSpread, spread};
use crate::stage::{Cell, Ctx, Determinism, Implementation, Outcome, StageError, Summary, Table, Warning, Work};
use crate::store::Tree;

/// The implementation.
pub const SPREAD: Implementation = Implementation {
    name: "spread",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

/// Number of evaluations whose values are shown next to the means.
const SHOWN: usize = 6;

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let given = ctx.inputs.many("of");
    let mut all = Vec::new();
    for named in given {
        let missing = || StageError::Bug(format!("`{}` has no `scores.json`", named.name));
        let bytes = ctx.objects.read_in(&named.tree, "scores.json")?.ok_or_else(missing)?;
        let scores: Scores = serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(error.to_string()))?;
        if scores.diagnosis {
            return Err(diagnosis(&named.name));
        }
        all.push(scores);
    }
    let [first, second, ..] = all.as_slice() else {
        return Err(StageError::input("one-evaluation", "a single evaluation has no spread")
            .hint("connect several, of folds or seeds: `of scores-1 scores-2`")
            .field("of"));
    };
    if let Some((named, other)) = given.iter().zip(&all).find(|(_, scores)| scores.classes != first.classes) {
        let text = format!(
            "`{}` has classes {}, but `{}` has {}",
            given[0].name,
            first.classes.join(" "),
            named.name,
            other.classes.join(" ")
        );
        return Err(StageError::input("classes-differ", text)
            .hint("compare evaluations of the same classes")
            .field("of"));
    }
    let mut warnings = Vec::new();
    let tuned = all.iter().filter(|scores| scores.at_tuned.is_some()).count();
    if tuned > 0 && tuned < all.len() {
        let text = format!("{tuned} of {} evaluations use tuned thresholds, the others 0.5", all.len());
        warnings.push(Warning { code: "thresholds-differ".to_owned(), text });
    }
    if first.data.size != second.data.size || all.iter().any(|scores| scores.data.size != first.data.size) {
        let text = "the evaluations use patches of different sizes".to_owned();
        warnings.push(Warning { code: "sizes-differ".to_owned(), text });
    }
    let spread = spread(&all);
    let bug = |error: &dyn std::fmt::Display| StageError::Bug(error.to_string());
    let mut tree = Tree::default();
    let json = serde_json::to_vec_pretty(&spread).map_err(|error| bug(&error))?;
    tree.insert("spread.json", ctx.objects.put(&json)?);
    let table = spread.table().to_parquet().map_err(|error| bug(&error))?;
    tree.insert("spread.parquet", ctx.objects.put(&table)?);
    let summary = Summary {
        headline: headline(&spread),
        metrics: spread.means(),
        tables: tables(&spread),
        warnings,
        ..Summary::default()
    };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// The error for a diagnosis among evaluations that are combined.
pub(super) fn diagnosis(name: &str) -> StageError {
    StageError::input("diagnosis", format!("`{name}` is a diagnosis, which cannot be combined with evaluations"))
        .hint("connect evaluations of patches that the models have not seen")
        .field("of")
}

fn headline(spread: &EvaluationSpread) -> String {
    let find = |name: &str| spread.figures.iter().find(|found| found.name == name && found.class.is_none());
    let words = |name: &str| {
        find(name).map_or_else(String::new, |found| {
            let (mean, deviation) = (metric(found.mean), metric(found.deviation));
            format!("{name} {mean} ± {deviation} (baseline {})", metric(found.trivial))
        })
    };
    let patches: u64 = spread.data.iter().map(|data| data.patches).sum();
    format!(
        "{}, {}; {} of {}",
        words("mean average precision"),
        words("micro F1"),
        counted(patches, "patch", "patches"),
        counted(spread.data.len() as u64, "evaluation", "evaluations")
    )
}

fn tables(spread: &EvaluationSpread) -> Vec<Table> {
    let mut columns: Vec<String> = ["", "baseline", "mean", "deviation", "min", "max"].map(str::to_owned).to_vec();
    let shown = spread.data.len().min(SHOWN);
    columns.extend((1..=shown).map(|number| format!("#{number}")));
    let real = |value: Option<f64>| value.map_or(Cell::Null(()), Cell::Real);
    let row = |figure: &MetricSpread| {
        let mut row = vec![Cell::Text(figure.name.clone())];
        row.extend([figure.trivial, figure.mean, figure.deviation, figure.least, figure.most].map(real));
        row.extend(figure.values.iter().take(shown).map(|value| real(*value)));
        row
    };
    let of = |class: Option<&String>| {
        let figures = spread.figures.iter().filter(|figure| figure.class.as_ref() == class);
        let title = class.map_or_else(|| "all classes".to_owned(), Clone::clone);
        Table { title, columns: columns.clone(), rows: figures.map(row).collect() }
    };
    std::iter::once(of(None)).chain(spread.classes.iter().map(|class| of(Some(class)))).collect()
}
