//! Labels of annotation tools and the classes that they belong to. Case and Unicode normalisation are ignored. Knows no format.

use std::collections::BTreeMap;

use crate::base::figure::{counted, noun};
use crate::data::name_normalisation::normalised;
use crate::lang::near::near;
use crate::stage::{StageError, Warning};

/// Labels that a message names.
const NAMED: usize = 8;

/// Labels of each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMap {
    /// Label as the pipeline spells it and its class, by normalised label.
    labels: BTreeMap<String, (String, usize)>,
}

impl LabelMap {
    /// Labels of classes in order, each written `one|another` by the parameter `field`.
    ///
    /// # Errors
    /// `label-mapping` for an empty label, or one of two classes.
    pub fn new(field: &str, classes: &[(&str, &str)]) -> Result<Self, StageError> {
        let mut labels: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for (class, (name, text)) in classes.iter().enumerate() {
            let wrong = |text: String, hint: &str| {
                Err(StageError::input("label-mapping", text).hint(hint.to_owned()).field(format!("{field}.{name}")))
            };
            for label in text.split('|').map(str::trim) {
                if label.is_empty() {
                    let hint = "write the tool's labels, separated by `|`: `MA \"microaneurysm|ma\"`";
                    return wrong(format!("an empty label for class `{name}`"), hint);
                }
                if let Some((_, other)) = labels.insert(normalised(label), (label.to_owned(), class)) {
                    let (other, hint) = (classes[other].0, "give each label to one class");
                    return wrong(format!("label `{label}` is mapped to `{other}` and `{name}`"), hint);
                }
            }
        }
        Ok(Self { labels })
    }

    /// Class of a label; [`None`] if it belongs to none.
    #[must_use]
    pub fn class(&self, label: &str) -> Option<usize> {
        self.labels.get(&normalised(label.trim())).map(|(_, class)| *class)
    }

    /// Labels and their classes that are not among those of the files, in order.
    pub fn unseen<'a>(&'a self, seen: &BTreeMap<String, u64>) -> impl Iterator<Item = (&'a str, usize)> {
        let seen: Vec<String> = seen.keys().map(|label| normalised(label.trim())).collect();
        let unseen = move |(key, _): &(&String, &(String, usize))| !seen.contains(key);
        self.labels.iter().filter(unseen).map(|(_, (label, class))| (label.as_str(), *class))
    }

    /// Labels as the pipeline spells them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.labels.values().map(|(label, _)| label.as_str())
    }
}

/// Warning about labels of the files that belong to no class; `seen` counts the shapes of each, and `ignored` are not reported.
#[must_use]
pub fn unmapped(map: &LabelMap, seen: &BTreeMap<String, u64>, ignored: &[String]) -> Option<Warning> {
    let ignored: Vec<String> = ignored.iter().map(|label| normalised(label.trim())).collect();
    let left = |(label, count): &(&String, &u64)| {
        **count > 0 && map.class(label).is_none() && !ignored.contains(&normalised(label.trim()))
    };
    let mut found: Vec<(&String, &u64)> = seen.iter().filter(left).collect();
    found.sort_by_key(|(label, count)| (std::cmp::Reverse(**count), *label));
    let named = |(label, count): &(&String, &u64)| {
        let shapes = counted(**count, "shape", "shapes");
        match near(label, map.names()) {
            _ if label.is_empty() => format!("no label ({shapes})"),
            Some(meant) => format!("`{label}` ({shapes}; did you mean `{meant}`?)"),
            None => format!("`{label}` ({shapes})"),
        }
    };
    let list: Vec<String> = found.iter().take(NAMED).map(named).collect();
    let more = found.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let count = counted(found.len() as u64, "label", "labels");
    let (belong, list) = (noun(found.len() as u64, "belongs", "belong"), list.join(", "));
    (!found.is_empty()).then(|| Warning {
        code: "unmapped-label".to_owned(),
        text: format!("{count} of the annotations {belong} to no class: {list}{more}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> LabelMap {
        LabelMap::new("classes", &[("MA", "microaneurysm"), ("HE", "hemorrhage| Haemorrhage")]).expect("apart")
    }

    #[test]
    fn labels_are_found_in_any_spelling() {
        for (label, class) in
            [("Microaneurysm", Some(0)), ("HAEMORRHAGE ", Some(1)), ("hemorrhage", Some(1)), ("disc", None)]
        {
            assert_eq!(map().class(label), class, "{label}");
        }
        assert!(LabelMap::new("classes", &[("MA", "a|"), ("HE", "b")]).is_err());
        let twice = LabelMap::new("classes", &[("MA", "a"), ("HE", "b|A")]).expect_err("one label, two classes");
        assert_eq!(twice.to_string(), "label `A` is mapped to `MA` and `HE`");
    }

    #[test]
    fn labels_without_a_class_are_counted_with_what_was_probably_meant() {
        let seen = |labels: &[(&str, u64)]| labels.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect();
        let seen: BTreeMap<String, u64> =
            seen(&[("hemorhage", 3), ("disc", 12), ("", 1), ("microaneurysm", 5), ("fovea", 2), ("none", 0)]);
        let warning = unmapped(&map(), &seen, &["Fovea".to_owned()]).expect("three");
        assert_eq!(
            warning.text,
            "3 labels of the annotations belong to no class: `disc` (12 shapes), `hemorhage` (3 shapes; did you mean \
             `hemorrhage`?), no label (1 shape)"
        );
        let map = map();
        let missing: Vec<_> = map.unseen(&seen).collect();
        assert_eq!(missing, [("Haemorrhage", 1), ("hemorrhage", 1)]);
        assert_eq!(unmapped(&map, &[("Microaneurysm".to_owned(), 9)].into(), &[]), None);
    }
}
