//! Files that match a pattern, and matching of masks or annotations to photographs by the texts that the stars of their patterns match. If one pattern has more stars than the other,
//! the texts of the one with fewer must be a subsequence of the other's that includes the last.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::name_normalisation::normalised;
use super::pattern::Pattern;
use super::source_tree::{clash, free_name};
use crate::stage::StageError;

/// Up to this many stars, all subsequences are tried; beyond, only the last ones.
const MOST: usize = 6;

/// A file that matches a pattern.
pub struct PatternMatch<'f> {
    /// The file, relative to the source's folder.
    pub file: &'f str,
    /// Texts matched by the stars, as spelled in the path.
    pub stars: Vec<String>,
}

impl PatternMatch<'_> {
    /// Normalised texts of the stars.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.stars.iter().map(|star| normalised(star)).collect()
    }
}

/// Files that match a pattern, which must differ in their stars.
///
/// # Errors
/// `code` if two files have the same name, or one has none.
pub fn fitting<'f>(
    pattern: &Pattern<'_>,
    files: &[&'f str],
    code: &'static str,
    field: &str,
) -> Result<Vec<PatternMatch<'f>>, StageError> {
    let mut found = Vec::new();
    let mut seen: HashMap<String, &str> = HashMap::new();
    for &file in files {
        let Some(stars) = pattern.names(file) else { continue };
        let fit = PatternMatch { file, stars: stars.into_iter().map(std::borrow::Cow::into_owned).collect() };
        if matches!(fit.stars.last().map(String::as_str), None | Some("" | "." | "..")) {
            let text = format!("pattern `{}` gives `{file}` no name", pattern.text());
            let hint = "the last `*` must match at least one character; rename the file";
            return Err(StageError::input(code, text).hint(hint).field(field));
        }
        if let Some(other) = seen.insert(fit.keys().join("/"), file) {
            let text =
                format!("`{other}` and `{file}` are both `{}` by pattern `{}`", fit.stars.join("/"), pattern.text());
            let hint = "case and Unicode normalisation are ignored; add the extension to the pattern, or remove one of the files";
            return Err(StageError::input(code, text).hint(hint).field(field));
        }
        found.push(fit);
    }
    Ok(found)
}

/// Index of photographs by the texts of their stars.
pub struct PhotographIndex {
    keys: Vec<Vec<String>>,
    /// For each number of stars, photographs by each subsequence of that length.
    by: Vec<OnceCell<HashMap<String, Vec<usize>>>>,
}

impl PhotographIndex {
    /// Index of photographs.
    #[must_use]
    pub fn new(photographs: &[PatternMatch<'_>]) -> Self {
        let keys: Vec<Vec<String>> = photographs.iter().map(PatternMatch::keys).collect();
        let stars = keys.iter().map(Vec::len).max().unwrap_or(0);
        Self { keys, by: (0..=stars).map(|_| OnceCell::new()).collect() }
    }

    /// Photographs that a mask matches, in order.
    #[must_use]
    pub fn of(&self, mask: &PatternMatch<'_>) -> Vec<usize> {
        let keys = mask.keys();
        let count = keys.len().min(self.by.len() - 1);
        let index = self.by[count].get_or_init(|| {
            let mut index: HashMap<String, Vec<usize>> = HashMap::new();
            for (at, keys) in self.keys.iter().enumerate() {
                for choice in choices(keys, count) {
                    index.entry(choice).or_default().push(at);
                }
            }
            index
        });
        let mut found: Vec<usize> =
            choices(&keys, count).iter().filter_map(|choice| index.get(choice)).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A photograph that agrees with a mask in the last star but not in all.
    #[must_use]
    pub fn near(&self, mask: &PatternMatch<'_>) -> Option<usize> {
        let last = mask.keys().pop()?;
        self.keys.iter().position(|keys| keys.last() == Some(&last))
    }
}

/// All distinct subsequences of `count` keys that include the last one.
fn choices(keys: &[String], count: usize) -> Vec<String> {
    let Some((last, before)) = keys.split_last() else { return Vec::new() };
    if count == 0 {
        return Vec::new();
    }
    if keys.len() == count || keys.len() > MOST {
        return vec![keys[keys.len().saturating_sub(count)..].join("/")];
    }
    let mut found: Vec<String> = (0_u32..1 << before.len())
        .filter(|set| set.count_ones() as usize == count - 1)
        .map(|set| {
            let taken = before.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, key)| key);
            taken.chain([last]).map(String::as_str).collect::<Vec<_>>().join("/")
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Names of the photographs: the text of the last star, or of all stars if that is ambiguous. A reserved name keeps its extension.
///
/// # Errors
/// `duplicate-photograph` if two have the same name.
pub fn names(photographs: &[PatternMatch<'_>]) -> Result<Vec<String>, StageError> {
    let last = |fit: &PatternMatch<'_>| free_name(fit.stars.last().cloned().unwrap_or_default(), fit.file);
    let all = |fit: &PatternMatch<'_>| {
        let stars: Vec<&str> = fit.stars.iter().map(String::as_str).filter(|star| !star.is_empty()).collect();
        free_name(stars.join("_"), fit.file)
    };
    let names: Vec<String> = photographs.iter().map(last).collect();
    if clash(&names).is_none() {
        return Ok(names);
    }
    let names: Vec<String> = photographs.iter().map(all).collect();
    let Some((one, other)) = clash(&names) else { return Ok(names) };
    let text = format!("`{}` and `{}` are both `{}`", photographs[one].file, photographs[other].file, names[other]);
    Err(StageError::input("duplicate-photograph", text).hint("rename one of them").field("photographs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, files: &[&'static str]) -> Vec<PatternMatch<'static>> {
        fitting(&Pattern::new(pattern).expect("a star"), files, "duplicate-mask", "masks").expect("apart")
    }

    fn of(photographs: (&str, &[&'static str]), masks: (&str, &'static str)) -> Vec<usize> {
        PhotographIndex::new(&fits(photographs.0, photographs.1)).of(&fits(masks.0, &[masks.1])[0])
    }

    #[test]
    fn all_stars_count_together() {
        let eyes: (&str, &[&'static str]) = ("p/*/*", &["p/A/1.png", "p/B/2.png"]);
        assert_eq!(of(eyes, ("m/*/*", "m/A/1.png")), [0]);
        assert!(of(eyes, ("m/*/*", "m/B/1.png")).is_empty(), "another patient's");
        assert_eq!(of(eyes, ("m/*", "m/2.png")), [1], "the eye's name is enough where it tells them apart");
        assert_eq!(of(eyes, ("m/*_*", "m/a_1.png")), [0], "in any case");
        assert_eq!(of(("p/*", &["p/1.png"]), ("m/*/*", "m/A/1.png")), [0]);
        let ddr: (&str, &[&'static str]) = ("*/image/*", &["train/image/7.jpg", "valid/image/7.jpg"]);
        assert_eq!(of(ddr, ("*/*label/MA/*", "valid/segmentation label/MA/7.tif")), [1]);
        assert_eq!(of(ddr, ("MA/*", "MA/7.tif")), [0, 1], "either");
    }

    #[test]
    fn names_have_as_many_stars_as_it_takes() {
        let names = |pattern, files: &[&'static str]| names(&fits(pattern, files)).expect("names");
        assert_eq!(names("p/*/*", &["p/A/1.png", "p/B/2.png"]), ["1", "2"]);
        assert_eq!(names("p/*/*", &["p/A/1.png", "p/B/1.png"]), ["A_1", "B_1"]);
        assert_eq!(names("p/*", &["p/Set.json.png", "p/a.png"]), ["Set.json.png", "a"], "`set.json` is macula's");
        assert_eq!(names("p/x*.png", &["p/x.a.png"]), ["x.a.png"], "nothing is hidden");
        let clashing = fits("p/*/*", &["p/A/1_2.png", "p/A_1/2.png", "p/B/2.png"]);
        assert!(super::names(&clashing).is_err());
    }
}
