//! Which mask belongs to which photograph: by all that the stars of their patterns stand for. Where one pattern has more stars than
//! the other, what the fewer stand for must come in the same order among the more, the last at the end.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use super::classes::ClassPattern;
use crate::data::pattern::Pattern;
use crate::data::name_normalisation::same;
use crate::stage::StageError;

/// Of so many stars all choices are looked at; of more only the last ones.
const MOST: usize = 6;

/// A file that fits a pattern.
pub(super) struct PatternMatch<'f> {
    pub(super) file: &'f str,
    /// What the stars stand for, as the file spells it.
    pub(super) stars: Vec<String>,
}

impl PatternMatch<'_> {
    /// What all spellings of its stars have in common.
    pub(super) fn keys(&self) -> Vec<String> {
        self.stars.iter().map(|star| same(star)).collect()
    }
}

/// The files of a pattern, each of other stars than the others.
pub(super) fn fitting<'f>(
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
            let text = format!("`{file}` has no name by the pattern `{}`", pattern.text());
            let hint = "the last `*` must stand for at least one letter: rename the file";
            return Err(StageError::input(code, text).hint(hint).field(field));
        }
        if let Some(other) = seen.insert(fit.keys().join("/"), file) {
            let text = format!(
                "`{other}` and `{file}` are both `{}` by the pattern `{}`",
                fit.stars.join("/"),
                pattern.text()
            );
            let hint = "case and composed accents do not tell names apart: write the extension into the pattern, or remove one of them";
            return Err(StageError::input(code, text).hint(hint).field(field));
        }
        found.push(fit);
    }
    Ok(found)
}

/// The photographs by what their stars stand for.
pub(super) struct PhotographIndex {
    keys: Vec<Vec<String>>,
    /// For each number of stars the photographs by each choice of so many.
    by: Vec<OnceCell<HashMap<String, Vec<usize>>>>,
}

impl PhotographIndex {
    pub(super) fn new(photographs: &[PatternMatch<'_>]) -> Self {
        let keys: Vec<Vec<String>> = photographs.iter().map(PatternMatch::keys).collect();
        let stars = keys.iter().map(Vec::len).max().unwrap_or(0);
        Self { keys, by: (0..=stars).map(|_| OnceCell::new()).collect() }
    }

    /// The photographs that a mask fits, in their order.
    pub(super) fn of(&self, mask: &PatternMatch<'_>) -> Vec<usize> {
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

    /// A photograph whose last star stands for the same as a mask's, where all of its stars do not.
    pub(super) fn near(&self, mask: &PatternMatch<'_>) -> Option<usize> {
        let last = mask.keys().pop()?;
        self.keys.iter().position(|keys| keys.last() == Some(&last))
    }
}

/// Every way to take `count` of some keys in their order, the last one among them, without repeats.
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

/// Takes the masks out of what the photographs' pattern fits: `d/*` fits `d/a_MA.png` beside `d/a.png`, but that is the mask of
/// another photograph. Gives the files that were taken out.
pub(super) fn without_masks<'f>(
    photographs: &mut Vec<PatternMatch<'f>>,
    pattern: &Pattern<'_>,
    classes: &[ClassPattern<'_>],
    masks: &[Vec<PatternMatch<'f>>],
) -> Result<Vec<&'f str>, StageError> {
    let mut as_mask: HashMap<&str, Vec<(usize, &PatternMatch<'_>)>> = HashMap::new();
    for (class, fit) in masks.iter().enumerate().flat_map(|(class, fits)| fits.iter().map(move |fit| (class, fit))) {
        as_mask.entry(fit.file).or_default().push((class, fit));
    }
    if !photographs.iter().any(|fit| as_mask.contains_key(fit.file)) {
        return Ok(Vec::new());
    }
    let (both, only): (Vec<_>, Vec<_>) =
        std::mem::take(photographs).into_iter().partition(|fit| as_mask.contains_key(fit.file));
    let index = PhotographIndex::new(&only);
    let of_none = |fit: &&PatternMatch<'_>| as_mask[fit.file].iter().all(|(_, mask)| index.of(mask).is_empty());
    if let Some(fit) = both.iter().find(of_none) {
        let class = &classes[as_mask[fit.file][0].0];
        let text = format!("`{}` fits the patterns of photographs and of masks", fit.file);
        let hint = format!(
            "write patterns that tell them apart: `photographs` is `{}`, `{}` is `{}`",
            pattern.text(),
            class.field(),
            class.pattern.text()
        );
        return Err(StageError::input("two-roles", text).hint(hint).field("photographs"));
    }
    *photographs = only;
    Ok(both.into_iter().map(|fit| fit.file).collect())
}

/// Files of macula's own that stand beside folders with photographs' names.
const TAKEN: [&str; 3] = ["set.json", "maps.json", "readme.txt"];

/// The photographs' names: what the last star stands for, or all stars where that does not tell them apart. One that is the name of a
/// file of macula's keeps its extension.
pub(super) fn names(photographs: &[PatternMatch<'_>]) -> Result<Vec<String>, StageError> {
    let free = |name: String, fit: &PatternMatch<'_>| {
        let taken = name.starts_with('.') || TAKEN.contains(&same(&name).as_str());
        if taken { fit.file.rsplit('/').next().unwrap_or(fit.file).to_owned() } else { name }
    };
    let last = |fit: &PatternMatch<'_>| free(fit.stars.last().cloned().unwrap_or_default(), fit);
    let all = |fit: &PatternMatch<'_>| {
        let stars: Vec<&str> = fit.stars.iter().map(String::as_str).filter(|star| !star.is_empty()).collect();
        free(stars.join("_"), fit)
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

fn clash(names: &[String]) -> Option<(usize, usize)> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    names.iter().enumerate().find_map(|(at, name)| seen.insert(same(name), at).map(|other| (other, at)))
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
