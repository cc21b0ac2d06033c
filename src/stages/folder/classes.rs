//! What lesion classes may be called. Their names become columns of tables and names of files and folders, beside macula's own.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::pattern::Pattern;
use crate::data::name_normalisation::same;
use crate::lang::value::Value;
use crate::stage::{Params, StageError};

/// The order of labels for the lesions that everyone abbreviates alike; other classes follow by name.
const USUAL: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// Columns of the tables that classes have columns in.
const COLUMNS: [&str; 9] = ["photograph", "digest", "patient", "official", "x", "y", "index", "copies", "histogram"];

/// What `export` calls folders of patches without a lesion; some disks know no case.
const FOLDERS: [&str; 2] = ["healthy", "undetermined"];

/// What `export` puts before classes that are unknown.
const UNKNOWN: &str = "_unknown-";

/// Of so many classes all sets of unknown ones are looked at.
const LOOKED_AT: usize = 12;

/// A class and the pattern of its masks.
pub(super) struct ClassPattern<'a> {
    pub(super) name: &'a str,
    pub(super) pattern: Pattern<'a>,
}

impl ClassPattern<'_> {
    /// The parameter that gives its pattern.
    pub(super) fn field(&self) -> String {
        format!("masks.{}", self.name)
    }
}

/// Classes and their patterns, the usual lesions first.
pub(super) fn classes(params: &Params) -> Result<Vec<ClassPattern<'_>>, StageError> {
    let mut classes = Vec::new();
    for (name, text) in params.map("masks").into_iter().flatten() {
        let Value::Text(text) = text else {
            return Err(StageError::Bug(format!("the pattern of `{name}` is no text")));
        };
        if let Some(why) = misnamed(name) {
            return Err(refused(name, why));
        }
        classes.push(ClassPattern { name, pattern: super::pattern(&format!("masks.{name}"), text)? });
    }
    if classes.is_empty() {
        let hint = "write for example `masks MA \"masks/ma/*.png\"`";
        return Err(StageError::input("no-classes", "`masks` names no lesion").hint(hint).field("masks"));
    }
    let place = |class: &str| USUAL.iter().position(|usual| *usual == class).unwrap_or(USUAL.len());
    classes.sort_by_key(|class| (place(class.name), class.name));
    apart(&classes.iter().map(|class| class.name).collect::<Vec<_>>())?;
    Ok(classes)
}

/// Why a class can't have that name, whatever the others are called.
fn misnamed(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Some("a name has 1 to 64 bytes and no control characters");
    }
    if name.contains(['/', '\\', '.']) {
        return Some("it stands in names of files and columns, so it can't hold `/`, `\\` or `.`");
    }
    if name.contains('+') || name.contains(UNKNOWN) {
        return Some("`export` joins classes by `+` and `_unknown-` in names of folders");
    }
    let column = COLUMNS.contains(&name) || name.starts_with("mean_") || name.starts_with("deviation_");
    (column || FOLDERS.contains(&same(name).as_str())).then_some("macula has a column or a folder of that name")
}

/// Refuses classes that would meet each other in a table or a folder.
fn apart(classes: &[&str]) -> Result<(), StageError> {
    let mut columns: BTreeMap<String, &str> = BTreeMap::new();
    for class in classes {
        for column in ["", "_pixels", "_distance"].map(|suffix| same(&format!("{class}{suffix}"))) {
            if let Some(other) = columns.insert(column, class) {
                let text = format!("the classes `{other}` and `{class}` can't be told apart in tables and file names");
                return Err(StageError::input("class-name", text)
                    .hint("rename one of them")
                    .field(format!("masks.{class}")));
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
            return Err(refused(dashed, "`export` joins unknown classes by `-`, and two sets of them would be one"));
        }
    }
    Ok(())
}

fn refused(class: &str, why: &str) -> StageError {
    StageError::input("class-name", format!("a lesion class can't be called `{class}`: {why}"))
        .hint("use letters, digits, `-` and `_`, such as `MA` or `soft_exudates`")
        .field(format!("masks.{class}"))
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
