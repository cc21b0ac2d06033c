//! `split`: divides patches into training, validation and test sides, whole patients or photographs at a time.

use std::collections::BTreeMap;

use crate::base::figure::counted;
use crate::data::counts::{PatchCounts, table};
use crate::data::patches::PatchSet;
use crate::data::split::{SPLITS, SplitUnit, drawn, folded, of_other_folds, official, side_of, sum_to_one, units};
use crate::data::{leak, split_names};
use crate::lang::value::Value;
use crate::stage::{
    Cell, Ctx, Determinism, Implementation, Outcome, Params, StageError, Summary, Table, Warning, Work,
};

/// The implementation of `split`.
pub const SPLIT: Implementation = Implementation {
    name: "split",
    version: 2,
    revised: Some(revised),
    seeded: true,
    determinism: Determinism::BitExact,
    check: Some(check),
    foresee: None,
    work: Work::Whole(run),
};

/// Version 2 takes names with accents in either composition: those that were composed otherwise went to the side of the rest.
fn revised(params: &BTreeMap<String, Value>) -> u32 {
    let Some(Value::Map(names)) = params.get("names") else { return 1 };
    let accented = |value: &Value| match value {
        Value::Text(text) | Value::Path(text) => !text.is_ascii(),
        _ => false,
    };
    let any = |value: &Value| match value {
        Value::List(values) => values.iter().any(accented),
        one => accented(one),
    };
    if names.values().any(any) { 2 } else { 1 }
}

fn check(params: &Params) -> Result<(), StageError> {
    let by = params.text("by")?;
    let fold = fold(params, by)?;
    let shares = shares(params)?;
    match by {
        "patient" | "image" if fold.is_some() => of_other_folds(shares).map(drop),
        "patient" | "image" => sum_to_one(shares),
        "names" => patterns(params).map(drop),
        _ => Ok(()),
    }
}

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    check(ctx.params)?;
    let set = PatchSet::read(ctx.inputs.one("from")?, ctx.objects)?;
    if set.is_empty() {
        return Err(StageError::input("no-patches", "there is no patch to split").field("from"));
    }
    let by = ctx.params.text("by")?;
    let unit = if by == "image" { SplitUnit::Photograph } else { SplitUnit::Patient };
    let shares = shares(ctx.params)?;
    let fold = fold(ctx.params, by)?;
    let sides = match by {
        "patient" | "image" if fold.is_some() => folded(&set, unit, fold.unwrap_or_default(), shares, &ctx.streams)?,
        "patient" | "image" => {
            let all: Vec<usize> = (0..set.parts.len()).collect();
            let mut sides = vec![0; all.len()];
            for (at, side) in drawn(&set, unit, &all, &shares, &ctx.streams) {
                sides[at] = side;
            }
            sides
        }
        "official" => official(&set, unit, shares, &ctx.streams)?,
        "names" => split_names::named(&set, &patterns(ctx.params)?)?,
        other => return Err(StageError::Bug(format!("`by` has no case `{other}`"))),
    };
    leak::refuse(&set, &sides, ctx.objects)?;

    let split: [PatchSet; 3] = [0, 1, 2].map(|side| side_of(&set, &sides, side));
    let counts = [0, 1, 2].map(|side| PatchCounts::of(&split[side]));
    let asked = match (by, fold) {
        ("patient" | "image", None) => Some(shares),
        ("patient" | "image", Some((_, folds))) => {
            let test = 1.0 / folds as f64;
            let [train, valid] = of_other_folds(shares)?;
            Some([train * (1.0 - test), valid * (1.0 - test), test])
        }
        _ => None,
    };
    let summary = Summary {
        headline: headline(&set, unit, &split),
        tables: vec![patches(&set, &counts), reached(&set, &counts, asked)],
        warnings: lacking(&set, &split, &counts, asked),
        ..Summary::default()
    };
    let outputs = SPLITS.iter().zip(&split).map(|(port, set)| Ok(((*port).to_owned(), set.write(ctx.objects)?)));
    Ok(Outcome { outputs: outputs.collect::<Result<_, StageError>>()?, summary })
}

/// The fold that is the test side, from 0, and how many there are; none where none are asked for.
fn fold(params: &Params, by: &str) -> Result<Option<(usize, usize)>, StageError> {
    let given = |name: &str| *params.get(name) != Value::None;
    let wrong = |text: &str, field: &str| Err(StageError::input("folds", text).field(field));
    match (given("folds"), given("fold")) {
        (false, false) => return Ok(None),
        (true, false) => return wrong("`folds` needs `fold`: which of them is the test side", "folds"),
        (false, true) => return wrong("`fold` needs `folds`: of how many it is one", "fold"),
        (true, true) if !matches!(by, "patient" | "image") => {
            return wrong("folds are drawn `by patient` or `by image`", "by");
        }
        (true, true) => {}
    }
    let (folds, fold) = (params.count("folds")?, params.count("fold")?);
    if fold > folds {
        return wrong(&format!("there is no fold {fold} of {folds}"), "fold");
    }
    Ok(Some((fold - 1, folds)))
}

fn shares(params: &Params) -> Result<[f64; 3], StageError> {
    let mut shares = [0.0; 3];
    for (share, side) in shares.iter_mut().zip(SPLITS) {
        *share = params.real(side)?;
    }
    Ok(shares)
}

fn patterns(params: &Params) -> Result<[Vec<String>; 3], StageError> {
    let Some(given) = params.map("names") else {
        return Err(StageError::input("names", "`by names` needs `names`")
            .hint("for example `names valid \"IDRiD_37..IDRiD_44\"`")
            .field("by"));
    };
    let mut patterns = [const { Vec::new() }; 3];
    for (side, list) in given {
        let Some(at) = SPLITS.iter().position(|known| known == side) else {
            return Err(StageError::input("names", format!("there is no side `{side}`"))
                .hint("the sides are `train`, `valid` and `test`")
                .field(format!("names.{side}")));
        };
        let texts = match list {
            Value::List(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for text in texts {
            let (Value::Text(text) | Value::Path(text)) = text else {
                return Err(StageError::input("names", format!("`{text}` is no name")).field(format!("names.{side}")));
            };
            patterns[at].push(text.clone());
        }
    }
    Ok(patterns)
}

fn headline(set: &PatchSet, unit: SplitUnit, split: &[PatchSet; 3]) -> String {
    let unknown = set.parts.iter().filter(|part| part.patient.is_none()).count() as u64;
    let total = set.parts.len() as u64;
    let stays = match unit {
        SplitUnit::Photograph => "each photograph stands alone".to_owned(),
        SplitUnit::Patient if unknown == total => "patients are unknown, so each photograph stands alone".to_owned(),
        SplitUnit::Patient => {
            let patients = counted(units(set, unit).len() as u64, "patient", "patients");
            if unknown == 0 {
                format!("{patients} stay whole")
            } else {
                format!(
                    "{patients} or photographs stay whole: the patient of {} is unknown",
                    counted(unknown, "photograph", "photographs")
                )
            }
        }
    };
    let [train, valid, test] = [0, 1, 2].map(|side| split[side].parts.len());
    format!("{} into {train} train, {valid} valid and {test} test; {stays}", counted(total, "photograph", "photographs"))
}

fn patches(set: &PatchSet, counts: &[PatchCounts; 3]) -> Table {
    let sides: Vec<(&str, &PatchCounts)> = SPLITS.into_iter().zip(counts).collect();
    table("patches", &set.info.classes, &sides)
}

/// Shares asked for and reached, of patches and of each class's positives.
fn reached(set: &PatchSet, counts: &[PatchCounts; 3], asked: Option<[f64; 3]>) -> Table {
    let mut columns: Vec<String> = ["side", "asked", "patches"].map(str::to_owned).to_vec();
    columns.extend(set.info.classes.iter().cloned());
    let share = |part: u64, count: &dyn Fn(&PatchCounts) -> u64| {
        let all: u64 = counts.iter().map(count).sum();
        if all == 0 { Cell::Null(()) } else { Cell::Real((part as f64 / all as f64 * 1e4).round() / 1e4) }
    };
    let rows = (0..3).map(|side| {
        let mut row = vec![Cell::Text(SPLITS[side].into())];
        row.push(asked.map_or(Cell::Null(()), |asked| Cell::Real(asked[side])));
        row.push(share(counts[side].patches, &|counts| counts.patches));
        row.extend(
            (0..set.info.classes.len())
                .map(|class| share(counts[side].positives[class], &|counts| counts.positives[class])),
        );
        row
    });
    Table { title: "shares reached".into(), columns, rows: rows.collect() }
}

/// Sides that lack a class or everything. A side that was to be empty is not mentioned.
fn lacking(set: &PatchSet, split: &[PatchSet; 3], counts: &[PatchCounts; 3], asked: Option<[f64; 3]>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for side in 0..3 {
        if asked.is_some_and(|asked| asked[side] == 0.0) {
            continue;
        }
        let name = SPLITS[side];
        if split[side].is_empty() {
            let text = format!("`{name}` has no patch: there are too few photographs for its share");
            warnings.push(Warning { code: "empty-side".into(), text });
            continue;
        }
        warnings.extend(asked.and_then(|asked| missed(side, counts, asked)));
        for (class, name_of_class) in set.info.classes.iter().enumerate() {
            if counts[side].positives[class] == 0 {
                let elsewhere: u64 = counts.iter().map(|counts| counts.positive_photographs[class]).sum();
                let text = format!(
                    "`{name}` has no patch with `{name_of_class}`, which {}",
                    match elsewhere {
                        0 => "no photograph elsewhere has".to_owned(),
                        1 => "1 photograph elsewhere has".to_owned(),
                        _ => format!("{} elsewhere have", counted(elsewhere, "photograph", "photographs")),
                    }
                );
                warnings.push(Warning { code: "side-lacks-class".into(), text });
            }
        }
    }
    warnings
}

/// A share that differs by more than this of all patches from what was asked for is told.
const FAR: f64 = 0.08;

/// A side whose share of the patches is far from what was asked for.
fn missed(side: usize, counts: &[PatchCounts; 3], asked: [f64; 3]) -> Option<Warning> {
    let all: u64 = counts.iter().map(|counts| counts.patches).sum();
    let wanted = asked[side] / asked.iter().sum::<f64>();
    let reached = counts[side].patches as f64 / all as f64;
    (all > 0 && (reached - wanted).abs() > FAR).then(|| Warning {
        code: "shares-missed".into(),
        text: format!(
            "`{}` has {reached:.2} of the patches, not {wanted:.2}: what stays whole can't be shared out more finely, or comes out \
             otherwise with another seed",
            SPLITS[side]
        ),
    })
}
