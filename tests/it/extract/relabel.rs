//! Label rules by the place of lesions, on photographs with masks.

use macula::data::patches::{Label, PatchSet};
use macula::data::png_image::{PixelFormat, png};
use macula::lang::value::Value;
use macula::stage::{Outcome, StageError};
use macula::store::Tree;

use super::lab::Lab;

const SIDE: usize = 32;

/// Writes a photograph with lesions of MA at these pixels, and none of HE.
fn write(lab: &Lab, name: &str, ma: &[[usize; 2]]) {
    let side = SIDE as u32;
    lab.write(&format!("photographs/{name}.png"), &png(&vec![90; SIDE * SIDE * 3], side, side, PixelFormat::Rgb));
    let mut mask = vec![0; SIDE * SIDE];
    lab.write(&format!("he/{name}.png"), &png(&mask, side, side, PixelFormat::Grey));
    for [x, y] in ma {
        mask[y * SIDE + x] = 255;
    }
    lab.write(&format!("ma/{name}.png"), &png(&mask, side, side, PixelFormat::Grey));
}

fn relabel(lab: &Lab, patches: &Tree, masks: Option<&Tree>, params: &[(&str, Value)]) -> Result<Outcome, StageError> {
    let mut inputs = vec![("from", std::slice::from_ref(patches))];
    inputs.extend(masks.map(|masks| ("masks", std::slice::from_ref(masks))));
    let mut all = vec![
        ("min-pixels", Value::Int(1)),
        ("min-share", Value::Real(0.0)),
        ("less", Value::Text("absent".to_owned())),
    ];
    all.extend(params.iter().cloned());
    lab.whole("relabel", &inputs, &all)
}

fn labels(lab: &Lab, done: &Outcome) -> Vec<Label> {
    let set = PatchSet::read(&done.outputs["out"], &lab.objects).unwrap();
    set.parts[0].rows.iter().map(|row| row.labels[0]).collect()
}

/// Four patches of 16 px: a lesion of ten pixels of which nine are in the first patch and one is in the second.
fn bench(lab: &Lab) -> (Tree, Tree) {
    write(lab, "a", &(7..17).map(|x| [x, 8]).collect::<Vec<_>>());
    let from = lab.folder(&[]).unwrap().outputs["out"].clone();
    let patches = lab.extract(&from, &[("size", Value::Int(16))]).unwrap().outputs["out"].clone();
    (from, patches)
}

#[test]
fn a_lesion_counts_by_how_much_of_it_is_inside_and_how_far_from_the_rim() {
    use Label::{Absent, Present, Unknown};
    let lab = Lab::new();
    let (from, patches) = bench(&lab);
    let by = |params: &[(&str, Value)]| labels(&lab, &relabel(&lab, &patches, Some(&from), params).unwrap());
    assert_eq!(by(&[]), [Present, Present, Absent, Absent]);
    let share = |name: &'static str, share: f64| (name, Value::Real(share));
    assert_eq!(by(&[share("min-lesion-share", 0.9)]), [Present, Absent, Absent, Absent]);
    assert_eq!(by(&[share("min-lesion-share", 0.91)]), [Absent; 4]);
    assert_eq!(by(&[("min-rim-distance", Value::Int(1))]), [Present, Absent, Absent, Absent]);
    assert_eq!(by(&[("min-rim-distance", Value::Int(8))]), [Absent; 4], "it is in the eighth row");
    // The pixel in the second patch is 8 px from its centre.
    assert_eq!(by(&[share("max-centre-distance", 7.0)]), [Present, Absent, Absent, Absent]);
    let both = [share("min-lesion-share", 0.5), share("unknown.min-lesion-share", 0.1)];
    assert_eq!(by(&both), [Present, Unknown, Absent, Absent]);
    let said = relabel(&lab, &patches, Some(&from), &both).unwrap().summary.headline;
    assert_eq!(said, "1 of 2 labels changed, 1 now unknown");
    // A distance from the centre is stored with each patch.
    let stored = relabel(&lab, &patches, None, &[share("max-centre-distance", 7.0)]).unwrap();
    assert_eq!(labels(&lab, &stored), [Present, Absent, Absent, Absent]);
}

#[test]
fn masks_of_other_photographs_and_bounds_that_leave_nothing_between_are_refused() {
    let lab = Lab::new();
    let (from, patches) = bench(&lab);
    let share = |name: &'static str, share: f64| (name, Value::Real(share));
    let params = [share("min-lesion-share", 0.5)];
    let error = |masks: Option<&Tree>, params: &[(&str, Value)], code: &str| {
        let error = relabel(&lab, &patches, masks, params).unwrap_err();
        assert!(error.has_code(code), "{error}");
        error.to_string()
    };
    let text = error(None, &params, "other-masks");
    assert!(text.contains("need the masks"), "{text}");
    let text = error(Some(&from), &[share("min-share", 0.1), share("unknown.min-share", 0.2)], "label-bounds");
    assert!(text.contains("`min-share` of `unknown`"), "{text}");
    let half = lab.preprocess(&from, &[("shrink", Value::Int(2))]).unwrap().outputs["out"].clone();
    error(Some(&half), &params, "other-masks");
    let kept = [("size", Value::Int(16)), ("masks", Value::Bool(true))];
    let kept = lab.extract(&from, &kept).unwrap().outputs["out"].clone();
    for params in [&params[..], &[share("unknown.min-share", 0.0)]] {
        let error = relabel(&lab, &kept, Some(&from), params).unwrap_err();
        assert!(error.has_code("kept-masks"), "{error}");
    }
    std::fs::rename(lab.path("photographs/a.png"), lab.path("photographs/b.png")).unwrap();
    write(&lab, "b", &[[3, 3]]);
    let text = error(Some(&lab.folder(&[]).unwrap().outputs["out"].clone()), &params, "other-masks");
    assert!(text.contains("no photograph `a`"), "{text}");
}
