//! Maps of scores over photographs: where patches lie, cells and their means, colours, pictures. Knows no network.

mod cells;
mod colours;
mod map;
mod overlay;
mod contact_sheet;

pub use cells::CellGrid;
pub use colours::colour;
pub use map::{MapInfo, ScoreMap};
pub use overlay::{OverlayStyle, class_picture, overlay};
pub use contact_sheet::contact_sheet;

use super::black_filter::BlackFilter;
use super::patch_pixels::strip;
use super::decode::Photograph;

/// Patches of a row of the grid that are looked at together: a stride of a pixel must not fill the memory.
const TOGETHER: usize = 64;

/// Top left corners of the patches that are to be scored, row by row, and how many are black.
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
                // One count for each place.
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
