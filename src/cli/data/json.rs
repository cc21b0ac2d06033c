//! What a check of data found, as JSON: nothing is cut or left out, and the same data gives the same text.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::data::check::{
    CheckedClass, CheckedPair, CheckedSource, DataCheck, FindingLevel, LesionPresence, PatientCounts,
    PhotographComparison, PictureFacts,
};
use crate::data::photographs::Official;

pub(super) fn json(check: &DataCheck, file: &str) -> Value {
    let findings = check.findings().into_iter().map(|(stage, finding)| {
        let mut finding = json!(finding);
        finding["stage"] = json!(stage);
        finding
    });
    json!({
        "macula": env!("CARGO_PKG_VERSION"),
        "file": file,
        "pipeline": check.pipeline,
        "verdict": check.verdict(),
        "photographs": check.photographs(),
        "errors": check.count(FindingLevel::Error),
        "warnings": check.count(FindingLevel::Warning),
        "findings": findings.collect::<Vec<Value>>(),
        "stages": check.sources.iter().map(source).collect::<Vec<Value>>(),
        "compared": compared(check.pairs.comparison),
        "pairs": check.pairs.pairs.iter().map(|one| pair(check, one)).collect::<Vec<Value>>(),
    })
}

/// How photographs were compared.
fn compared(comparison: PhotographComparison) -> &'static str {
    match comparison {
        PhotographComparison::None => "not",
        PhotographComparison::Whole => "whole",
        PhotographComparison::WholeAndParts => "whole-and-parts",
    }
}

fn source(source: &CheckedSource) -> Value {
    let decoded = source.photographs.iter().filter(|photograph| photograph.picture.is_some()).count();
    let official = [Official::Train, Official::Valid, Official::Test].map(|side| {
        let count = source.photographs.iter().filter(|photograph| photograph.official == Some(side)).count();
        (side.name().to_owned(), json!(count))
    });
    let PatientCounts { patients, fewest, most, unknown } = source.patients();
    json!({
        "stage": source.stage,
        "kind": source.stage_type,
        "headline": source.headline,
        "photographs": source.photographs.len(),
        "decoded": decoded,
        "pictures": pictures(source),
        "profiles": source.profiles(),
        "classes": (0..source.classes.len()).map(|k| class(source, k)).collect::<Vec<Value>>(),
        "patients": {
            "count": patients, "fewest-photographs": fewest, "most-photographs": most, "photographs-without": unknown,
        },
        "official": official.into_iter().collect::<serde_json::Map<String, Value>>(),
        "tables": source.tables,
    })
}

/// Formats and sizes, and how many photographs have each.
fn pictures(source: &CheckedSource) -> Vec<Value> {
    let mut counts: BTreeMap<PictureFacts, u64> = BTreeMap::new();
    for facts in source.photographs.iter().filter_map(|photograph| photograph.picture) {
        *counts.entry(facts).or_default() += 1;
    }
    let one = |(facts, count): (PictureFacts, u64)| {
        let PictureFacts { format, width, height, bits, grey, orientation } = facts;
        json!({
            "format": format.name(), "width": width, "height": height, "bits": bits, "grey": grey,
            "orientation": orientation, "photographs": count,
        })
    };
    counts.into_iter().map(one).collect()
}

fn class(source: &CheckedSource, k: usize) -> Value {
    let count = |wanted| source.class(k).filter(|class| class.presence == wanted).count();
    let sum = |of: fn(&CheckedClass) -> u64| source.class(k).map(of).sum::<u64>();
    let with_lesions = || source.class(k).filter(|class| class.lesions > 0);
    json!({
        "class": source.classes[k],
        "present": count(LesionPresence::Present),
        "absent": count(LesionPresence::Absent),
        "unknown": count(LesionPresence::Unknown),
        "faulty": count(LesionPresence::Faulty),
        "masks": source.class(k).filter(|class| class.mask.is_some()).count(),
        "blank-masks": source.blank(k),
        "lesion-pixels": sum(|class| class.pixels),
        "lesions": sum(|class| class.lesions),
        "smallest-lesion": with_lesions().map(|class| class.smallest).min(),
        "largest-lesion": with_lesions().map(|class| class.largest).max(),
    })
}

fn pair(check: &DataCheck, one: &CheckedPair) -> Value {
    let members = [0, 1].map(|side| {
        let (source, at) = one.places[side];
        let source = &check.sources[source];
        let photograph = &source.photographs[at];
        json!({ "stage": source.stage, "photograph": photograph.name, "file": photograph.file })
    });
    json!({
        "members": members,
        "similarity": one.pair.similarity,
        "overlap": one.pair.overlap,
        "orientation": one.pair.orientation.number(),
        "same-file": one.pair.members[0].digest == one.pair.members[1].digest,
        "same-patient": one.same_patient,
    })
}
