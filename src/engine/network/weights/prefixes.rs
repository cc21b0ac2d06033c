//! Prefixes that training scripts add to the names of tensors. It knows no file and no network, only names.

use std::collections::BTreeSet;

/// Prefixes added to all names of a network by `DataParallel`, `torch.compile`, Lightning and detection libraries.
const USUAL: [&str; 4] = ["module.", "_orig_mod.", "model.", "backbone."];

/// Maximum number of nested prefixes.
const DEEPEST: usize = 3;

/// Prefix whose removal makes most of `wanted` match `names`; empty if no prefix improves the match.
pub(crate) fn fitting<'a>(names: &(impl Iterator<Item = &'a str> + Clone), wanted: &BTreeSet<&str>) -> String {
    let found = |prefix: &str| {
        let mut found: BTreeSet<&str> = BTreeSet::new();
        for name in names.clone() {
            let name = name.strip_prefix(prefix).unwrap_or(name);
            found.extend(wanted.get(name));
        }
        found.len()
    };
    let (mut best, mut most) = (String::new(), found(""));
    let mut waiting = vec![String::new()];
    while let Some(before) = waiting.pop() {
        for next in USUAL {
            let prefix = format!("{before}{next}");
            if before.contains(next) || !names.clone().any(|name| name.starts_with(&prefix)) {
                continue;
            }
            let count = found(&prefix);
            if count > most || (count == most && !best.is_empty() && prefix.len() < best.len()) {
                (best, most) = (prefix.clone(), count);
            }
            if prefix.matches('.').count() < DEEPEST {
                waiting.push(prefix);
            }
        }
    }
    best
}

/// Whether only some names have a usual prefix, so that a network may match either.
pub(super) fn are_mixed(names: &[&str]) -> bool {
    USUAL.iter().any(|prefix| {
        let with = names.iter().filter(|name| name.starts_with(prefix)).count();
        with > 0 && with < names.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(names: &[&str], wanted: &[&str]) -> String {
        fitting(&names.iter().copied(), &wanted.iter().copied().collect())
    }

    #[test]
    fn a_prefix_is_taken_off_only_where_more_fits_without_it() {
        let wanted = ["conv.weight", "fc.weight", "fc.bias"];
        assert_eq!(fits(&wanted, &wanted), "");
        assert_eq!(fits(&["module.conv.weight", "module.fc.weight"], &wanted), "module.");
        assert_eq!(fits(&["_orig_mod.module.conv.weight"], &wanted), "_orig_mod.module.");
        assert_eq!(fits(&["module._orig_mod.model.conv.weight"], &wanted), "module._orig_mod.model.");
        assert_eq!(fits(&["backbone.conv.weight", "fc.weight", "fc.bias"], &wanted), "backbone.");
        assert_eq!(fits(&["model.conv.weight"], &["model.conv.weight"]), "", "the network's own name");
        assert_eq!(fits(&["encoder.conv.weight"], &wanted), "");
        assert_eq!(fits(&["model.conv.weight", "conv.weight"], &wanted), "", "as many without it");
    }
}
