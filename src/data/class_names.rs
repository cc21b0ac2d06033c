//! Names of lesion classes, and their order. They become table columns, file names and folder names, alongside macula's own.

use std::collections::{BTreeMap, BTreeSet};

use super::name_normalisation::normalised;
use crate::stage::StageError;

/// Label order of the standard lesion abbreviations; other classes follow by name.
const USUAL: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// Reserved columns of tables with class columns.
const COLUMNS: [&str; 9] = ["photograph", "digest", "patient", "official", "x", "y", "index", "copies", "histogram"];

/// Folders that `export` uses for patches without a lesion; compared ignoring case, for case-insensitive file systems.
const FOLDERS: [&str; 2] = ["healthy", "undetermined"];

/// Prefix that `export` puts before unknown classes.
const UNKNOWN: &str = "_unknown-";

/// Up to this many classes, all sets of unknown ones are checked.
const LOOKED_AT: usize = 12;

/// Place of a class in the order of labels: standard lesions first, then by name.
#[must_use]
pub fn order(class: &str) -> (usize, &str) {
    (USUAL.iter().position(|usual| *usual == class).unwrap_or(USUAL.len()), class)
}

/// Refuses names that no class can have, or that collide in a table or folder. `field` is the parameter that names a class.
///
/// # Errors
/// `class-name`.
pub fn check(classes: &[&str], field: &dyn Fn(&str) -> String) -> Result<(), StageError> {
    for class in classes {
        if let Some(why) = misnamed(class) {
            return Err(refused(class, why).field(field(class)));
        }
    }
    apart(classes).map_err(|(class, error)| error.field(field(&class)))
}

/// Reason why a class cannot have this name, regardless of the others.
fn misnamed(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Some("names must have 1 to 64 bytes and no control characters");
    }
    if name.contains(['/', '\\', '.']) {
        return Some("`/`, `\\` and `.` are not allowed in names of files and columns");
    }
    if name.contains('+') || name.contains(UNKNOWN) {
        return Some("`export` uses `+` and `_unknown-` as separators in folder names");
    }
    let column = COLUMNS.contains(&name) || name.starts_with("mean_") || name.starts_with("deviation_");
    (column || FOLDERS.contains(&normalised(name).as_str())).then_some("the name is reserved for a column or folder")
}

/// Rejects classes that would collide in a table or folder, with the class that does.
fn apart(classes: &[&str]) -> Result<(), (String, StageError)> {
    let mut columns: BTreeMap<String, &str> = BTreeMap::new();
    for class in classes {
        for column in ["", "_pixels", "_distance"].map(|suffix| normalised(&format!("{class}{suffix}"))) {
            if let Some(other) = columns.insert(column, class) {
                let text = format!("classes `{other}` and `{class}` collide in tables or file names");
                return Err(((*class).to_owned(), StageError::input("class-name", text).hint("rename one of them")));
            }
        }
    }
    // `export` joins classes that are unknown by `-`.
    let Some(dashed) = classes.iter().find(|class| class.contains('-')).filter(|_| classes.len() <= LOOKED_AT) else {
        return Ok(());
    };
    let mut joined = BTreeSet::new();
    for set in 1_u32..1 << classes.len() {
        let members = classes.iter().enumerate().filter(|(k, _)| set >> k & 1 == 1).map(|(_, class)| *class);
        if !joined.insert(members.collect::<Vec<_>>().join("-")) {
            let why = "`export` joins unknown classes with `-`, which would be ambiguous";
            return Err(((*dashed).to_owned(), refused(dashed, why)));
        }
    }
    Ok(())
}

fn refused(class: &str, why: &str) -> StageError {
    let hint = if why.contains("reserved") {
        "choose another name, such as `none` for photographs without a lesion"
    } else {
        "use letters, digits, `-` and `_`, as in `MA` or `soft_exudates`"
    };
    StageError::input("class-name", format!("invalid class name `{class}`: {why}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_class_meets_a_name_of_maculas() {
        for name in
            ["healthy", "Healthy", "undetermined", "MA+EX", "a_unknown-b", "x", "mean_r", "a/b", "a.b", "", "a\nb"]
        {
            assert!(misnamed(name).is_some(), "{name}");
        }
        for name in ["MA", "soft-exudates", "Öl", "healthy_disc", "unknown", "microaneurysms (all)"] {
            assert_eq!(misnamed(name), None, "{name}");
        }
    }

    #[test]
    fn no_class_meets_another() {
        for classes in
            [&["MA", "ma"][..], &["MA", "MA_pixels"], &["a", "a-b", "b"], &["a", "a-b", "b-c", "c"], &["é", "e\u{301}"]]
        {
            assert!(apart(classes).is_err(), "{classes:?}");
        }
        for classes in [&["MA", "HE"][..], &["soft-exudates", "hard-exudates"], &["a-b", "a"]] {
            assert!(apart(classes).is_ok(), "{classes:?}");
        }
    }
}
