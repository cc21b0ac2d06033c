//! `split`: divides patches, or photographs before they are cut, into training, validation and test sets by whole patients or photographs.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::figure::{counted, noun};
use crate::data::counts::{PatchCounts, table};
use crate::data::embeddings::Control;
use crate::data::patches::{PatchSet, SetInfo};
use crate::data::split::{
    SPLITS, SplitUnit, alike, drawn, folded, of_other_folds, official, subset, sum_to_one, units,
};
use crate::data::{leak, photograph_units, split_names};
use crate::lang::value::Value;
use crate::stage::{
    Cell, Ctx, Determinism, Implementation, Outcome, Params, StageError, Summary, Table, Warning, Work,
};
use crate::store::{Objects, Tree};

/// The implementation of `split`.
pub const SPLIT: Implementation = Implementation {
    name: "split",
    version: 2,
    revised: Some(revised),
    seeded: true,
    determinism: Determinism::BitExact,
    check: Some(|params, _| check(params).map(|()| Vec::new())),
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

/// In place of a case of `by`: the sets of another split.
const LIKE: &str = "like";

/// Version 2 matches names in any Unicode normalisation; before, names in another one went to the split with the rest.
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

/// What is divided, and counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Divided {
    Patches,
    Photographs,
}

impl Divided {
    fn of(tree: &Tree, objects: &Objects) -> Result<Self, StageError> {
        Ok(if SetInfo::read(tree, objects)?.is_some() { Self::Patches } else { Self::Photographs })
    }

    /// In words, one and several.
    const fn words(self) -> [&'static str; 2] {
        match self {
            Self::Patches => ["patch", "patches"],
            Self::Photographs => ["photograph", "photographs"],
        }
    }
}

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    check(ctx.params)?;
    let from = ctx.inputs.one("from")?;
    let divided = Divided::of(from, ctx.objects)?;
    let set = match divided {
        Divided::Patches => PatchSet::read(from, ctx.objects)?,
        Divided::Photographs => photograph_units::labelled(from, ctx.objects)?,
    };
    if set.is_empty() {
        let text = format!("no {} to split", divided.words()[1]);
        return Err(StageError::input("no-patches", text).field("from"));
    }
    let by = ctx.params.text("by")?;
    let unit = if by == "image" { SplitUnit::Photograph } else { SplitUnit::Patient };
    let shares = shares(ctx.params)?;
    let fold = fold(ctx.params, by)?;
    let like = ctx.inputs.many("like");
    let by = if like.is_empty() { by } else { LIKE };
    let splits = match by {
        LIKE => {
            let read = |tree: &Tree| match Divided::of(tree, ctx.objects)? {
                Divided::Patches => PatchSet::read(tree, ctx.objects),
                Divided::Photographs => photograph_units::unlabelled(tree, ctx.objects),
            };
            let sets: Vec<PatchSet> = like.iter().map(|named| read(&named.tree)).collect::<Result<_, _>>()?;
            alike(&set, &sets)?
        }
        "patient" | "image" if fold.is_some() => folded(&set, unit, fold.unwrap_or_default(), shares, &ctx.streams)?,
        "patient" | "image" => {
            let all: Vec<usize> = (0..set.parts.len()).collect();
            let mut splits = vec![0; all.len()];
            for (at, split) in drawn(&set, unit, &all, &shares, &ctx.streams) {
                splits[at] = split;
            }
            splits
        }
        "official" => official(&set, unit, shares, &ctx.streams)?,
        "names" => split_names::named(&set, &patterns(ctx.params)?)?,
        other => return Err(StageError::Bug(format!("`by` has no case `{other}`"))),
    };
    crossed(&set)?;
    leak::refuse(&set, &splits, ctx.objects)?;

    let sets: [PatchSet; 3] = [0, 1, 2].map(|split| subset(&set, &splits, split));
    let counts = [0, 1, 2].map(|split| PatchCounts::of(&sets[split]));
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
        headline: headline(&set, by, unit, &sets),
        tables: vec![counted_in(&set, &counts, divided), reached(&set, &counts, asked, divided)],
        warnings: lacking(&set, by, &sets, &counts, asked, divided)
            .into_iter()
            .chain(unknown_patients(&set, by))
            .collect(),
        ..Summary::default()
    };
    let write = |set: &PatchSet| match divided {
        Divided::Patches => set.write(ctx.objects),
        Divided::Photographs => {
            let names: BTreeSet<&str> = set.parts.iter().map(|part| part.photograph.as_str()).collect();
            photograph_units::subset(from, &names, ctx.objects)
        }
    };
    let outputs = SPLITS.iter().zip(&sets).map(|(port, set)| Ok(((*port).to_owned(), write(set)?)));
    Ok(Outcome { outputs: outputs.collect::<Result<_, StageError>>()?, summary, target: None })
}

/// Refuses patches with embeddings of other patients: one of the test set could be given to a training patch.
fn crossed(set: &PatchSet) -> Result<(), StageError> {
    let Some(crossed) = set.embeddings.iter().find(|joined| joined.control == Control::Other) else { return Ok(()) };
    let text =
        format!("the patches have embeddings of other patients as `{}`, which may be in another set", crossed.name);
    let hint = "put `join` with `control other` after `split`, once for each set";
    Err(StageError::input("crossed-embeddings", text).hint(hint).field("from"))
}

/// The fold used as the test set, from 0, and the number of folds; [`None`] without cross-validation.
fn fold(params: &Params, by: &str) -> Result<Option<(usize, usize)>, StageError> {
    let given = |name: &str| *params.get(name) != Value::None;
    let wrong = |text: &str, field: &str| Err(StageError::input("folds", text).field(field));
    match (given("folds"), given("fold")) {
        (false, false) => return Ok(None),
        (true, false) => return wrong("`folds` requires `fold`, the one used as the test set", "folds"),
        (false, true) => return wrong("`fold` requires `folds`, the number of folds", "fold"),
        (true, true) if !matches!(by, "patient" | "image") => {
            return wrong("`folds` requires `by patient` or `by image`", "by");
        }
        (true, true) => {}
    }
    let (folds, fold) = (params.count("folds")?, params.count("fold")?);
    if fold > folds {
        return wrong(&format!("`fold` {fold} exceeds the {folds} folds"), "fold");
    }
    Ok(Some((fold - 1, folds)))
}

fn shares(params: &Params) -> Result<[f64; 3], StageError> {
    let mut shares = [0.0; 3];
    for (share, split) in shares.iter_mut().zip(SPLITS) {
        *share = params.real(split)?;
    }
    Ok(shares)
}

fn patterns(params: &Params) -> Result<[Vec<String>; 3], StageError> {
    let Some(given) = params.map("names") else {
        return Err(StageError::input("names", "`by names` requires `names`")
            .hint("write e.g. `names valid \"IDRiD_37..IDRiD_44\"`")
            .field("by"));
    };
    let mut patterns = [const { Vec::new() }; 3];
    for (split, list) in given {
        let Some(at) = SPLITS.iter().position(|known| known == split) else {
            return Err(StageError::input("names", format!("unknown split `{split}`"))
                .hint("the splits are `train`, `valid` and `test`")
                .field(format!("names.{split}")));
        };
        let texts = match list {
            Value::List(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for text in texts {
            let (Value::Text(text) | Value::Path(text)) = text else {
                return Err(
                    StageError::input("names", format!("`{text}` is not a name")).field(format!("names.{split}"))
                );
            };
            patterns[at].push(text.clone());
        }
    }
    Ok(patterns)
}

fn headline(set: &PatchSet, by: &str, unit: SplitUnit, sets: &[PatchSet; 3]) -> String {
    let unknown = set.parts.iter().filter(|part| part.patient.is_none()).count() as u64;
    let total = set.parts.len() as u64;
    let stays = match unit {
        _ if by == LIKE => "each as in the split at `like`".to_owned(),
        SplitUnit::Photograph => "by photograph".to_owned(),
        SplitUnit::Patient if unknown == total => "by photograph, as patients are unknown".to_owned(),
        SplitUnit::Patient => {
            let patients = counted(units(set, unit).len() as u64, "patient", "patients");
            if unknown == 0 {
                format!("by patient ({patients})")
            } else {
                format!(
                    "by patient ({patients}), or by photograph for {} without a known patient",
                    counted(unknown, "photograph", "photographs")
                )
            }
        }
    };
    let [train, valid, test] = [0, 1, 2].map(|split| sets[split].parts.len());
    format!(
        "{} into {train} train, {valid} valid and {test} test; {stays}",
        counted(total, "photograph", "photographs")
    )
}

fn counted_in(set: &PatchSet, counts: &[PatchCounts; 3], divided: Divided) -> Table {
    let splits: Vec<(&str, &PatchCounts)> = SPLITS.into_iter().zip(counts).collect();
    let [_, several] = divided.words();
    let mut table = table(several, &set.info.classes, &splits);
    // A photograph is its only row.
    if let (Divided::Photographs, Some(at)) = (divided, table.columns.iter().position(|column| column == "patches")) {
        table.columns.remove(at);
        table.rows.iter_mut().for_each(|row| _ = row.remove(at));
    }
    table
}

/// Requested and actual fractions, of patches or photographs and of each class's positives.
fn reached(set: &PatchSet, counts: &[PatchCounts; 3], asked: Option<[f64; 3]>, divided: Divided) -> Table {
    let mut columns: Vec<String> = ["split", "requested", divided.words()[1]].map(str::to_owned).to_vec();
    columns.extend(set.info.classes.iter().cloned());
    let share = |part: u64, count: &dyn Fn(&PatchCounts) -> u64| {
        let all: u64 = counts.iter().map(count).sum();
        if all == 0 { Cell::Null(()) } else { Cell::Real((part as f64 / all as f64 * 1e4).round() / 1e4) }
    };
    let rows = (0..3).map(|split| {
        let mut row = vec![Cell::Text(SPLITS[split].into())];
        row.push(asked.map_or(Cell::Null(()), |asked| Cell::Real(asked[split])));
        row.push(share(counts[split].patches, &|counts| counts.patches));
        row.extend(
            (0..set.info.classes.len())
                .map(|class| share(counts[split].positives[class], &|counts| counts.positives[class])),
        );
        row
    });
    Table { title: "fractions".into(), columns, rows: rows.collect() }
}

/// Warning about photographs of unknown patients where whole patients were asked for.
fn unknown_patients(set: &PatchSet, by: &str) -> Option<Warning> {
    let unknown = set.parts.iter().filter(|part| part.patient.is_none()).count() as u64;
    let of = match unknown {
        0 => return None,
        _ if by != "patient" => return None,
        all if all == set.parts.len() as u64 => "all photographs".to_owned(),
        some => counted(some, "photograph", "photographs"),
    };
    let text = format!(
        "the patients of {of} are unknown, so these are split by photograph: two photographs of one patient may be in different splits; `by image` says that this is intended"
    );
    Some(Warning { code: "unknown-patients".into(), text })
}

/// Warnings about splits that lack a class or are empty. A split with fraction 0 or without names is not mentioned.
fn lacking(
    set: &PatchSet,
    by: &str,
    sets: &[PatchSet; 3],
    counts: &[PatchCounts; 3],
    asked: Option<[f64; 3]>,
    divided: Divided,
) -> Vec<Warning> {
    let [one, several] = divided.words();
    let mut warnings = Vec::new();
    for split in 0..3 {
        if asked.is_some_and(|asked| asked[split] == 0.0) {
            continue;
        }
        let name = SPLITS[split];
        if sets[split].is_empty() {
            let why = match by {
                // Names that match nothing are an error, so none were given.
                "names" => continue,
                "official" => "the official split has no photograph there",
                LIKE => "the split at `like` has none of these photographs there",
                _ => "too few photographs for its fraction",
            };
            let text = format!("the `{name}` split is empty: {why}");
            warnings.push(Warning { code: "empty-side".into(), text });
            continue;
        }
        warnings.extend(asked.and_then(|asked| missed(split, counts, asked, several)));
        for (class, name_of_class) in set.info.classes.iter().enumerate() {
            if counts[split].positives[class] == 0 {
                let elsewhere: u64 = counts.iter().map(|counts| counts.positive_photographs[class]).sum();
                let others = match elsewhere {
                    0 => "no other split has any".to_owned(),
                    _ => format!(
                        "{} in other splits {}",
                        counted(elsewhere, "photograph", "photographs"),
                        noun(elsewhere, "does", "do")
                    ),
                };
                let text = format!("the `{name}` split has no {one} with `{name_of_class}`; {others}");
                warnings.push(Warning { code: "side-lacks-class".into(), text });
            }
        }
    }
    warnings
}

/// Deviation from the requested fraction beyond which a split is reported.
const FAR: f64 = 0.08;

/// Warning about a split whose fraction of the patches or photographs is far from the requested one.
fn missed(split: usize, counts: &[PatchCounts; 3], asked: [f64; 3], several: &str) -> Option<Warning> {
    let all: u64 = counts.iter().map(|counts| counts.patches).sum();
    let wanted = asked[split] / asked.iter().sum::<f64>();
    let reached = counts[split].patches as f64 / all as f64;
    (all > 0 && (reached - wanted).abs() > FAR).then(|| Warning {
        code: "shares-missed".into(),
        text: format!(
            "the `{}` split has {:.0}% of the {several} instead of {:.0}%: the photographs of a patient are never separated; another seed may \
             come closer",
            SPLITS[split],
            100.0 * reached,
            100.0 * wanted
        ),
    })
}
