//! `folder`: photographs and masks in folders of any names, found by patterns.
//!
//! What it does with what is odd: files that are no pictures (`Thumbs.db`) are passed over and counted; case of names does
//! not count; two files of one photograph or of one mask are an error; a pattern that finds nothing is an error; masks
//! without a photograph are a warning with the first one's name; photographs without any mask are an error under
//! `absent-mask error`, else a warning where lesions are unknown then.

use std::collections::BTreeMap;

use crate::data::counts::counted;
use crate::data::gathering::{Found, gather, is_picture};
use crate::data::pattern::Pattern;
use crate::data::photographs::{PhotographFacts, WithoutMask};
use crate::lang::value::Value;
use crate::stage::{Determinism, Files, Implementation, Outcome, Params, StageError, Warning, Work};

/// The implementation of `folder`.
pub const FOLDER: Implementation = Implementation {
    name: "folder",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: Some(check),
    foresee: None,
    work: Work::Source(source),
};

/// The order of labels for the lesions that everyone abbreviates alike; other classes follow by name.
const USUAL: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// Names of columns that a class may not take.
const TAKEN: [&str; 9] = ["photograph", "digest", "patient", "official", "x", "y", "index", "copies", "histogram"];

fn check(params: &Params) -> Result<(), StageError> {
    pattern("photographs", params.text("photographs")?)?;
    for (class, text) in classes(params)? {
        pattern(&format!("masks.{class}"), text)?;
    }
    if let Value::Text(text) = params.get("patient") {
        pattern("patient", text)?;
    }
    Ok(())
}

fn source(params: &Params, files: &dyn Files) -> Result<Outcome, StageError> {
    let root = files.resolve(params.text("root")?);
    let listed = files.list(&root)?;
    let pictures: Vec<&str> = listed.iter().map(String::as_str).filter(|file| is_picture(file)).collect();
    let classes = classes(params)?;
    let absent = params.text("absent-mask")?;
    let mask_from = u8::try_from(params.int("mask-from")?).unwrap_or(u8::MAX);

    let pattern = pattern("photographs", params.text("photographs")?)?;
    let photographs = matching(&pattern, &pictures, "duplicate-photograph", "photographs")?;
    if photographs.is_empty() {
        let text = format!("no photograph in `{}` is of the pattern `{}`", root.display(), pattern.text());
        let hint = match pictures.first() {
            Some(first) => format!("the folder holds `{first}`; `*` is the photograph's name"),
            None => "the folder holds no JPEG, PNG or TIFF at all".to_owned(),
        };
        return Err(StageError::input("no-photographs", text).hint(hint).field("photographs"));
    }
    let mut masks = BTreeMap::new();
    let mut warnings = Vec::new();
    for (class, text) in &classes {
        let field = format!("masks.{class}");
        let own = matching(&self::pattern(&field, text)?, &pictures, "duplicate-mask", &field)?;
        let unmatched: Vec<_> = own.iter().filter(|(name, _)| !photographs.contains_key(*name)).collect();
        if unmatched.len() == own.len() {
            let text = format!("no mask of `{class}` fits a photograph: the pattern is `{text}`");
            let hint = "`*` must stand for the same name as in `photographs`";
            return Err(StageError::input("no-mask-fits", text).hint(hint).field(field));
        }
        if let Some((_, first)) = unmatched.first() {
            let text = format!(
                "{} of `{class}` without a photograph, `{first}` first",
                counted(unmatched.len() as u64, "mask")
            );
            warnings.push(Warning { code: "unmatched-mask".to_owned(), text });
        }
        masks.insert(*class, own);
    }

    let patient = match params.get("patient") {
        Value::Text(text) => Some(self::pattern("patient", text)?),
        _ => None,
    };
    let without_mask = if absent == "absent" { WithoutMask::Absent } else { WithoutMask::Unknown };
    let mut found = Vec::new();
    let mut bare = Vec::new();
    for (&name, &file) in &photographs {
        let own: BTreeMap<String, String> =
            masks.iter().filter_map(|(class, own)| Some(((*class).to_owned(), (*own.get(name)?).to_owned()))).collect();
        if absent == "error"
            && let Some((class, _)) = classes.iter().find(|(class, _)| !own.contains_key(*class))
        {
            let text = format!("`{file}` has no mask of `{class}`");
            let hint = "`absent-mask absent` or `absent-mask unknown` says what that means";
            return Err(StageError::input("photograph-without-mask", text).hint(hint).field("absent-mask"));
        }
        if own.is_empty() {
            bare.push(file);
        }
        let of = |pattern: &Pattern<'_>| {
            let patient = pattern.captures_of_beginning(file).map(|found| found[0].to_owned());
            patient.filter(|patient| !patient.is_empty()).ok_or_else(|| {
                let text = format!("`{file}` names no patient by the pattern `{}`", pattern.text());
                StageError::input("no-patient", text)
                    .hint("`*` is the patient's name in the photograph's path")
                    .field("patient")
            })
        };
        found.push(Found {
            name: name.to_owned(),
            file: file.to_owned(),
            masks: own,
            facts: PhotographFacts {
                patient: patient.as_ref().map(of).transpose()?,
                official: None,
                without_mask: vec![without_mask; classes.len()],
                scale: 1,
                mask_from,
                counted: false,
            },
        });
    }
    if let (Some(first), WithoutMask::Unknown) = (bare.first(), without_mask) {
        let count = counted(bare.len() as u64, "photograph");
        let text = format!("{count} without any mask, `{first}` first: nothing is known of their lesions");
        warnings.push(Warning { code: "photograph-without-mask".to_owned(), text });
    }
    let names: Vec<&str> = classes.iter().map(|(class, _)| *class).collect();
    let mut outcome = gather(&found, &names, files, &root, warnings)?;
    let passed = listed.len() - pictures.len();
    if passed > 0 {
        let passed = counted(passed as u64, "file");
        outcome.summary.headline = format!("{}; {passed} passed over that are no pictures", outcome.summary.headline);
    }
    Ok(outcome)
}

/// Classes and their patterns, the usual lesions first.
fn classes(params: &Params) -> Result<Vec<(&str, &str)>, StageError> {
    let given = params.map("masks").into_iter().flatten();
    let mut classes = Vec::new();
    for (class, pattern) in given {
        let Value::Text(pattern) = pattern else {
            return Err(StageError::Bug(format!("the pattern of `{class}` is no text")));
        };
        if TAKEN.contains(&class.as_str())
            || class.starts_with("mean_")
            || class.starts_with("deviation_")
            || class.contains(['/', '.'])
        {
            let text = format!(
                "a lesion can't be called `{class}`: the table of patches has a column of that name, or it holds `/` or `.`"
            );
            return Err(StageError::input("class-name", text).field(format!("masks.{class}")));
        }
        classes.push((class.as_str(), pattern.as_str()));
    }
    if classes.is_empty() {
        let hint = "write for example `masks MA \"masks/ma/*.png\"`";
        return Err(StageError::input("no-classes", "`masks` names no lesion").hint(hint).field("masks"));
    }
    let place = |class: &str| USUAL.iter().position(|usual| *usual == class).unwrap_or(USUAL.len());
    classes.sort_by_key(|(class, _)| (place(class), *class));
    Ok(classes)
}

fn pattern<'a>(field: &str, text: &'a str) -> Result<Pattern<'a>, StageError> {
    Pattern::new(text).ok_or_else(|| {
        StageError::input("pattern", format!("the pattern `{text}` has no `*`"))
            .hint("`*` stands for the photograph's (or the patient's) name")
            .field(field)
    })
}

/// The files of a pattern by name.
fn matching<'f>(
    pattern: &Pattern<'_>,
    files: &[&'f str],
    code: &'static str,
    field: &str,
) -> Result<BTreeMap<&'f str, &'f str>, StageError> {
    let mut found = BTreeMap::new();
    for &file in files {
        let Some(name) = pattern.name(file) else { continue };
        if let Some(other) = found.insert(name, file) {
            let text = format!("`{other}` and `{file}` are both `{name}` by the pattern `{}`", pattern.text());
            let hint = "write the extension into the pattern, or remove one of them";
            return Err(StageError::input(code, text).hint(hint).field(field));
        }
    }
    Ok(found)
}
