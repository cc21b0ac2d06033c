//! Patients of photographs: their spellings, and patterns that find them in paths. Knows no data set.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::name_normalisation::normalised;
use super::pattern::Pattern;
use crate::base::figure::counted;
use crate::lang::value::Value;
use crate::stage::{Params, StageError, Warning};

/// Pattern of parameter `patient`; [`None`] if it is omitted.
///
/// # Errors
/// `pattern` if it has no `*`.
pub fn pattern(params: &Params) -> Result<Option<Pattern<'_>>, StageError> {
    let Value::Text(text) = params.get("patient") else { return Ok(None) };
    Pattern::of_param("patient", text).map(Some)
}

/// Patient of each photograph by parameter `patient`, in a single spelling, the alphabetically first.
///
/// # Errors
/// `pattern`, or `no-patient` for a file without one.
pub fn of_files<'f>(
    params: &Params,
    files: impl Iterator<Item = &'f str>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Option<String>>, StageError> {
    let Some(pattern) = pattern(params)? else { return Ok(files.map(|_| None).collect()) };
    let name = |file: &str| {
        patient(&pattern, file).ok_or_else(|| {
            let text = format!("pattern `{}` finds no patient in `{file}`", pattern.text());
            let hint = "`*` stands for the patient's name in the photograph's path";
            StageError::input("no-patient", text).hint(hint).field("patient")
        })
    };
    let named: Vec<Option<String>> = files.map(|file| name(file).map(Some)).collect::<Result<_, _>>()?;
    let (named, warning) = in_one_spelling(&named);
    warnings.extend(warning);
    Ok(named)
}

/// The patients, each in the alphabetically first of its spellings, which differ in case or Unicode normalisation, and a warning if a
/// patient has several.
#[must_use]
pub fn in_one_spelling(names: &[Option<String>]) -> (Vec<Option<String>>, Option<Warning>) {
    let mut spellings: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    for name in names.iter().flatten() {
        spellings.entry(normalised(name)).or_default().insert(name);
    }
    let several: Vec<&BTreeSet<&String>> = spellings.values().filter(|spelled| spelled.len() > 1).collect();
    let warning = several.first().map(|first| {
        let count = counted(several.len() as u64, "patient", "patients");
        let spelled = first.iter().map(|name| format!("`{}`", name.escape_debug())).collect::<Vec<_>>().join(" and ");
        let text = format!("{count} in several spellings (first: {spelled}), each treated as one patient");
        Warning { code: "patient-spelling".to_owned(), text }
    });
    let first = |name: &String| spellings[&normalised(name)].first().map(|name| (*name).clone());
    (names.iter().map(|name| name.as_ref().and_then(first)).collect(), warning)
}

/// Patient in a path: the texts of all stars, except one at the end of the path, which is the photograph's own name.
fn patient(pattern: &Pattern<'_>, file: &str) -> Option<String> {
    let found = match pattern.captures(file) {
        Some(mut whole) => {
            let _ = whole.len() > 1 && whole.pop().is_some();
            whole
        }
        None => pattern.captures_of_beginning(file)?,
    };
    let name = found.iter().map(Cow::as_ref).collect::<Vec<_>>().join("/");
    Some(name).filter(|_| found.iter().all(|part| !part.is_empty()))
}
