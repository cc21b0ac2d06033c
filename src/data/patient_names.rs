//! Names of patients, each in a single spelling. Knows no files.

use std::collections::{BTreeMap, BTreeSet};

use super::name_normalisation::normalised;
use crate::base::figure::counted;
use crate::stage::Warning;

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
        let spelled = first.iter().map(|name| format!("`{}`", name.escape_default())).collect::<Vec<_>>().join(" and ");
        let text = format!("{count} in several spellings (first: {spelled}), each treated as one patient");
        Warning { code: "patient-spelling".to_owned(), text }
    });
    let first = |name: &String| spellings[&normalised(name)].first().map(|name| (*name).clone());
    (names.iter().map(|name| name.as_ref().and_then(first)).collect(), warning)
}
