//! Patch sets of one class from the expected values of a script, without pixels.

use std::collections::BTreeMap;
use std::sync::Arc;

use macula::base::Digest;
use macula::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo};
use macula::data::photographs::LabelScheme;
use serde_json::Value;

/// Numbers of a list of JSON.
pub(super) fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}

/// A set of class `MA`: for each patch its photograph and patient (numbers, ascending), label and lesion pixels.
pub(super) fn of_one_class(case: &Value) -> PatchSet {
    let list = |name: &str| case[name].as_array().expect(name).iter();
    let mut parts: Vec<Part> = Vec::new();
    for (((photograph, patient), label), pixels) in
        list("photograph").zip(list("patient")).zip(list("label")).zip(list("pixels"))
    {
        let name = format!("p{:03}", photograph.as_u64().expect("a number"));
        if parts.last().is_none_or(|part| part.photograph != name) {
            parts.push(Part {
                digest: Digest::of(name.as_bytes()),
                photograph: name,
                patient: Some(format!("patient {patient}")),
                official: None,
                shard: Part::NO_SHARD,
                embeddings: BTreeMap::new(),
                rows: Vec::new(),
            });
        }
        let rows = &mut parts.last_mut().expect("a part").rows;
        let at = rows.len() as u32;
        let present = label.as_u64();
        rows.push(PatchRow {
            x: at * 32,
            y: 0,
            index: at,
            copies: 1,
            labels: vec![match present {
                Some(0) => Label::Absent,
                Some(_) => Label::Present,
                None => Label::Unknown,
            }],
            mask_pixels: vec![pixels.as_u64().expect("a count") as u32],
            mask_distance: vec![f32::NAN],
            mean: [0.0; 3],
            deviation: [0.0; 3],
            histogram: Arc::new([0; 256]),
        });
    }
    let info = SetInfo {
        classes: vec!["MA".to_owned()],
        size: 32,
        margin: 0,
        masks: false,
        scale: 1,
        resampled: false,
        min_pixels: 1,
        min_fraction: 0.0,
        labels: LabelScheme::MultiLabel,
    };
    PatchSet { info, embeddings: Vec::new(), parts }
}
