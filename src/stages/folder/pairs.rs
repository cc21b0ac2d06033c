//! Masks that also match the photographs' pattern.

use std::collections::HashMap;

use super::classes::ClassPattern;
use crate::data::pattern::Pattern;
use crate::data::pattern_matches::{PatternMatch, PhotographIndex};
use crate::stage::StageError;

/// Removes masks from the files matching the photographs' pattern: `d/*` matches `d/a_MA.png` as well as `d/a.png`, but the former is
/// the latter's mask. Returns the removed files.
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
        let text = format!("`{}` matches the patterns of photographs and of masks", fit.file);
        let hint = format!(
            "use patterns that distinguish them: `photographs` is `{}`, `{}` is `{}`",
            pattern.text(),
            class.field(),
            class.pattern.text()
        );
        return Err(StageError::input("two-roles", text).hint(hint).field("photographs"));
    }
    *photographs = only;
    Ok(both.into_iter().map(|fit| fit.file).collect())
}
