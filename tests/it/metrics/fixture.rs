//! A synthetic patch set with logits of a mediocre classifier.

use std::collections::BTreeMap;
use std::sync::Arc;

use macula::base::{Digest, Streams};
use macula::data::patches::{Label, Part, PatchRow, PatchSet, SetInfo, ShardBytes};
use macula::data::photographs::LabelScheme;
use macula::store::Objects;

pub(crate) const CLASSES: [&str; 4] = ["MA", "HE", "EX", "SE"];

/// Size of the set.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) photographs: u32,
    pub(crate) patches: u32,
    pub(crate) size: u32,
}

/// Few small patches, for golden digests.
pub(crate) const TINY: Extent = Extent { photographs: 6, patches: 24, size: 16 };

/// Patch set in `objects`, and logits for it. SE is not annotated on the last photograph.
pub(crate) fn set(extent: Extent, objects: &Objects) -> (PatchSet, Vec<f32>) {
    let Extent { photographs, patches, size } = extent;
    let info = SetInfo {
        classes: CLASSES.map(str::to_owned).to_vec(),
        size,
        margin: 2,
        masks: false,
        scale: 1,
        resampled: false,
        min_pixels: 1,
        min_fraction: 0.0,
        labels: LabelScheme::MultiLabel,
    };
    let (mut parts, mut logits) = (Vec::new(), Vec::new());
    for number in 0..photographs {
        let photograph = format!("IDRiD_{:02}", number + 1);
        let mut stream = Streams::new(7, "fixture").stream("photograph", 0, photograph.as_bytes());
        let severity = stream.between(0.3, 1.0);
        let mut shard = ShardBytes::new(patches as usize, &info);
        let mut rows = Vec::new();
        for index in 0..patches {
            let (mut labels, mut area, mut distance) = (Vec::new(), Vec::new(), Vec::new());
            for (class, prevalence) in [0.35, 0.3, 0.4, 0.08].into_iter().enumerate() {
                let present = stream.chance(prevalence * severity);
                let unknown = class == 3 && number + 1 == photographs;
                let pixels = libm::exp(stream.between(0.0, 7.5)) as u32;
                labels.push(if unknown {
                    Label::Unknown
                } else if present {
                    Label::Present
                } else {
                    Label::Absent
                });
                area.push(if present && !unknown { pixels } else { 0 });
                let px = stream.between(0.0, f64::from(size) * 0.6) as f32;
                distance.push(if present && !unknown { px } else { f32::NAN });
                let size_helps = libm::log(f64::from(pixels.max(1))) * 0.35;
                let skill = [1.4, 1.2, 2.6, 0.9][class];
                let signal = if present { -0.8 + skill + size_helps } else { -1.6 };
                logits.push((signal + 1.3 * stream.normal()) as f32);
            }
            let one = info.side() * info.side() * 3;
            paint(&mut shard.parts().0[index as usize * one..][..one], info.side(), &labels, &mut stream);
            let x = index % 8 * size;
            let y = index / 8 * size;
            rows.push(PatchRow {
                x,
                y,
                index,
                copies: 1,
                labels,
                mask_pixels: area,
                mask_distance: distance,
                mean: [180.0, 80.0, 40.0],
                deviation: [9.0, 8.0, 7.0],
                histogram: Arc::new([0; 256]),
            });
        }
        let digest = Digest::of(photograph.as_bytes());
        let shard = objects.put(&shard.finish()).unwrap();
        let patient = Some(format!("patient-{}", number / 2));
        parts.push(Part { photograph, digest, patient, official: None, shard, embeddings: BTreeMap::new(), rows });
    }
    (PatchSet { info, embeddings: Vec::new(), parts }, logits)
}

/// Fundus-coloured background with a spot for each lesion.
fn paint(pixels: &mut [u8], side: usize, labels: &[Label], stream: &mut macula::base::random::Stream) {
    let spots: Vec<(f64, f64, f64, [f64; 3])> = labels
        .iter()
        .enumerate()
        .filter(|(_, label)| **label == Label::Present)
        .map(|(class, _)| {
            let radius = [0.04, 0.12, 0.09, 0.16][class] * side as f64 + 1.0;
            let color = [[110., 30., 20.], [95., 22., 15.], [245., 225., 120.], [225., 170., 120.]][class];
            (stream.uniform() * side as f64, stream.uniform() * side as f64, radius, color)
        })
        .collect();
    for (at, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        let (x, y) = ((at % side) as f64, (at / side) as f64);
        let noise = 6.0 * stream.uniform();
        let mut color = [176.0 - 0.1 * y, 78.0 - 0.05 * x, 38.0];
        for &(a, b, radius, spot) in &spots {
            if (x - a).powi(2) + (y - b).powi(2) < radius * radius {
                color = spot;
            }
        }
        for (value, channel) in pixel.iter_mut().zip(color) {
            *value = (channel + noise) as u8;
        }
    }
}
