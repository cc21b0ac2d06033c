//! Similar names.

/// Names that a hint lists at most.
const MOST_LISTED: usize = 20;

/// Modules of other tools, which people write before a name.
const MODULES: [&str; 12] =
    ["nn", "torch", "f", "optim", "transforms", "t", "a", "tf", "keras", "layers", "torchvision", "models"];

/// A name without the module that it is written with: `Conv2d` of `torch.nn.Conv2d`.
pub(super) fn unqualified(word: &str) -> &str {
    let of_module = |(module, _): &(&str, &str)| MODULES.contains(&module.to_lowercase().as_str());
    word.split_once('.').filter(of_module).map_or(word, |(_, rest)| unqualified(rest))
}

/// Candidate that was most likely meant by `name`, if one is near.
#[must_use]
pub fn near<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let short = |text: &str| text.to_lowercase().replace(['-', '_', '.'], "");
    let wanted = short(name);
    // A file may contain ten thousand names, and as many misspelt ones.
    candidates
        .into_iter()
        .take(256)
        .map(|candidate| {
            let other = short(candidate);
            let distance = strsim::damerau_levenshtein(&wanted, &other);
            let begins =
                wanted.len() >= 3 && (other.starts_with(&wanted) || wanted.starts_with(&other) && other.len() >= 3);
            // One whole word of several: `tune` of `threshold-tune`.
            let word = wanted.len() >= 3 && candidate.split(['-', '_', '.']).any(|word| short(word) == wanted);
            let most = match (begins, word) {
                (true, _) => 1,
                (false, true) => 2,
                (false, false) => usize::MAX,
            };
            // Of names of three letters half are near each other: `gpu` is not a slip of `cpu`.
            let other_word = wanted.len() <= 3 && other.len() <= 3 && wanted.chars().next() != other.chars().next();
            (if other_word { usize::MAX } else { distance.min(most) }, distance, candidate)
        })
        .filter(|&(near, _, candidate)| near <= (candidate.len().max(name.len()) / 3).max(1) && wanted.len() > 1)
        .min_by_key(|&(near, distance, candidate)| (near, distance, candidate.to_owned()))
        .map(|(.., candidate)| candidate)
}

/// Hint for an unknown name: the near miss, else all candidates if they are few, else `otherwise`.
pub(super) fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match near(name, candidates.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if candidates.is_empty() || candidates.len() > MOST_LISTED => otherwise.to_owned(),
        None => format!("available: {}", names(candidates)),
    }
}

/// Names in backticks: `a`, `b` or `c`.
#[must_use]
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "or")
}

/// Names in backticks: `a`, `b` and `c`.
#[must_use]
pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "and")
}

fn joined<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {word} {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_near_and_another_word_is_not() {
        let names = ["extract", "filter-black", "threshold-tune", "train"];
        assert_eq!(near("exract", names), Some("extract"));
        assert_eq!(near("filter_black", names), Some("filter-black"));
        assert_eq!(near("threshold", names), Some("threshold-tune"));
        assert_eq!(near("tune", names), Some("threshold-tune"));
        assert_eq!(near("mask", ["mask-from", "masks"]), Some("masks"));
        assert_eq!(near("banana", names), None);
        assert_eq!(near("gpu", ["auto", "cpu", "cuda"]), None);
        assert_eq!(near("sdg", ["adam", "sgd"]), Some("sgd"));
    }

    #[test]
    fn names_read_as_a_sentence() {
        assert_eq!(super::names(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(super::names(["a"]), "`a`");
        assert_eq!(super::one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
