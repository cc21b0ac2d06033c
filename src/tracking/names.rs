//! Names of metrics and stages in dashboards, and as files: users' names are not trusted.

use crate::base::Digest;
use crate::lang::spec::base_name;

/// Longest name of a file or folder that is made from a user's name, bytes. Some formats append to it.
const LONGEST: usize = 180;

/// Sets of patches that a training reports metrics of.
const SETS: [&str; 3] = ["training", "subset", "valid"];

/// A metric of an epoch as a path whose first part groups charts: `valid.loss` is `loss/valid`, `valid.average-precision.MA` is
/// `average-precision/MA/valid`.
pub(super) fn tag(metric: &str) -> String {
    match metric.split_once('.') {
        Some((set, rest)) if SETS.contains(&set) => format!("{}/{set}", rest.replacen('.', "/", 1)),
        _ => metric.replacen('.', "/", 1),
    }
}

/// A metric of the result of a stage as such a path: `average-precision.MA` of `fold.2.scores@lr=1e-4` is
/// `scores/average-precision/MA`. Dashboards average what has one name, so that of a training and of its evaluation differ.
pub(super) fn final_tag(stage: &str, metric: &str) -> String {
    let base = base_name(stage);
    format!("{}/{}", base.rsplit('.').next().unwrap_or(base), metric.replacen('.', "/", 1))
}

/// A name as the name of a file or folder, with letters, digits and the characters of `also`. If anything else was replaced, digits of
/// its digest keep it apart from others.
pub(super) fn file_name(name: &str, also: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || also.contains(c);
    let mut kept: String = name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    if kept.starts_with('.') {
        kept.replace_range(..1, "_");
    }
    if kept.len() > LONGEST {
        kept.truncate(kept.floor_char_boundary(LONGEST));
    }
    if kept == name && !kept.is_empty() {
        return kept;
    }
    let digits = Digest::of(name.as_bytes()).to_string();
    format!("{kept}-{}", &digits[..6])
}

#[test]
fn charts_are_grouped_by_metric() {
    let names = ["valid.loss", "training.average-precision.MA", "learning-rate", "valid.f1.a.b"].map(tag);
    assert_eq!(names, ["loss/valid", "average-precision/MA/training", "learning-rate", "f1/a.b/valid"]);
    assert_eq!(final_tag("fold.2.scores@lr=1e-4", "average-precision.MA"), "scores/average-precision/MA");
}

#[test]
fn a_name_stays_one_part_of_a_path() {
    let also = "-_.@=,";
    assert_eq!(file_name("classifier@lr=1e-4,seed=8", also), "classifier@lr=1e-4,seed=8");
    for name in ["../../etc/passwd", "a/b", "..", ".", "", "a\0b", "a\nb", &"x".repeat(400)] {
        let file = file_name(name, also);
        assert!(!file.contains(['/', '\0', '\n']) && !file.starts_with('.') && !file.is_empty(), "{file}");
        assert!(file.len() <= 200, "{file}");
    }
    // What was replaced does not make two names one.
    assert_ne!(file_name("a/b", also), file_name("a_b", also));
    assert_ne!(file_name("a/b", also), file_name("a\\b", also));
}
