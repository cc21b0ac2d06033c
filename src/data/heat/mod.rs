//! Score maps of photographs: patch positions, cells and their means, colours, overlays. Knows no network.

mod cells;
mod colours;
mod contact_sheet;
mod map;
mod overlay;
mod peaks;

pub use cells::CellGrid;
pub use colours::colour;
pub use contact_sheet::contact_sheet;
pub use map::{MapInfo, ScoreMap};
pub use overlay::{OverlayStyle, class_picture, overlay};
pub use peaks::MapPeak;

use super::black_filter::BlackFilter;
use super::decode::Photograph;
use super::patch_pixels::strip;

/// Number of patches of a grid row processed at a time, which bounds memory even with a stride of one pixel.
const TOGETHER: usize = 64;

/// Top left corners of the patches to score, row by row, and the number of black patches skipped.
#[must_use]
pub fn visible(photograph: &Photograph, cover: &CellGrid, black: BlackFilter) -> (Vec<(usize, usize)>, u64) {
    let places = cover.places();
    let (mut kept, mut left_out) = (Vec::with_capacity(places.len()), 0);
    let mut pixels = Vec::new();
    for row in places.chunk_by(|one, other| one.1 == other.1) {
        for places in row.chunks(TOGETHER) {
            pixels.resize(places.len() * cover.size * cover.size * 3, 0);
            let mut next = places.iter().copied();
            strip(photograph, places, cover.size, 0, &mut pixels, |counts| {
                // Called once for each position.
                let Some(place) = next.next() else { return };
                if black.is_by(&counts.histogram()) {
                    left_out += 1;
                } else {
                    kept.push(place);
                }
            });
        }
    }
    (kept, left_out)
}
