//! Parts of a network by name, as `freeze` and `rate` of a training name them. Knows no training.

use std::collections::BTreeSet;

use super::NetworkSpec;
use crate::lang::near::near;

/// Most parts that a hint lists.
const MOST_LISTED: usize = 16;

/// Whether a tensor belongs to a part of the network: `block1` contains `block1.conv.weight` but not `block10.conv.weight`. The empty name
/// contains all tensors.
#[must_use]
pub fn is_below(tensor: &str, part: &str) -> bool {
    let rest = tensor.strip_prefix(part);
    rest.is_some_and(|rest| part.is_empty() || part.ends_with('.') || rest.is_empty() || rest.starts_with('.'))
}

/// Whether a tensor belongs to a part of the network, or to that part of a network used under one of `prefixes`: with `second.`, part
/// `layer1` contains `second.layer1.0.conv1.weight` too.
#[must_use]
pub fn is_part(tensor: &str, part: &str, prefixes: &BTreeSet<String>) -> bool {
    let mut inside = prefixes.iter().filter_map(|prefix| tensor.strip_prefix(prefix.as_str()));
    is_below(tensor, part) || inside.any(|name| is_below(name, part))
}

/// Hint for a name that is no part of a network with these tensors: parts that it begins, one of a similar name, or all outermost ones.
#[must_use]
pub fn part_hint<'a>(wanted: &str, tensors: impl Iterator<Item = &'a str> + Clone) -> String {
    let mut outer: Vec<&str> = tensors.clone().filter_map(|name| name.split('.').next()).collect();
    let mut seen = BTreeSet::new();
    outer.retain(|part| seen.insert(*part));
    let begun: Vec<String> =
        outer.iter().filter(|part| part.starts_with(wanted)).map(|part| format!("`{part}`")).collect();
    if !begun.is_empty() {
        return format!("use the full name of a part: {}", begun.join(", "));
    }
    // `layer1.2` is compared with parts of two words.
    let words = wanted.split('.').count();
    let depth = |name: &'a str| name.match_indices('.').nth(words - 1).map_or(name, |(at, _)| &name[..at]);
    let mut deeper: Vec<&str> = tensors.map(depth).collect();
    deeper.dedup();
    let more = if outer.len() > MOST_LISTED { ", …" } else { "" };
    let all = outer[..outer.len().min(MOST_LISTED)].join(", ") + more;
    match near(wanted, deeper) {
        Some(near) => format!("did you mean `{near}`? the parts are {all}"),
        None => format!("the parts are {all}"),
    }
}

impl NetworkSpec {
    /// Names of the tensors that a training changes: all but running statistics.
    #[must_use]
    pub fn trained_tensors(&self) -> Vec<String> {
        let is_statistic = |name: &str| name.ends_with(".running_mean") || name.ends_with(".running_var");
        self.tensors().into_iter().filter(|name| !is_statistic(name)).collect()
    }

    /// Whether a part of that name has a tensor that a training changes.
    #[must_use]
    pub fn has_part(&self, part: &str) -> bool {
        self.trained_tensors().iter().any(|name| is_part(name, part, &self.prefixes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_part_ends_at_a_dot() {
        for part in ["", "block1", "block1.", "block1.conv", "block1.conv.weight"] {
            assert!(is_below("block1.conv.weight", part), "{part}");
        }
        for part in ["block", "block1.co", "block1.conv.weight.a", "block10", "conv"] {
            assert!(!is_below("block1.conv.weight", part), "{part}");
        }
    }

    #[test]
    fn the_hint_names_what_was_meant() {
        let tensors =
            ["conv1.weight", "layer1.0.conv1.weight", "layer1.1.conv1.weight", "layer4.0.bn1.bias", "fc.bias"];
        let hint = |wanted| part_hint(wanted, tensors.iter().copied());
        assert_eq!(hint("layer"), "use the full name of a part: `layer1`, `layer4`");
        assert_eq!(hint("layr4"), "did you mean `layer4`? the parts are conv1, layer1, layer4, fc");
        assert_eq!(hint("layr1.1"), "did you mean `layer1.1`? the parts are conv1, layer1, layer4, fc");
        assert_eq!(hint("backbone"), "the parts are conv1, layer1, layer4, fc");
    }
}
