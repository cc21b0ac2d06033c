//! A region of a slide: a part of one of its levels that is read as a photograph. Knows no format.

use serde::{Deserialize, Serialize};

use super::bitmap::Rect;
use crate::base::{Digest, Hasher};

/// File in a photograph set with the region of a slide that a photograph is; the slide's file stands next to it.
pub const FILE: &str = "region.json";

/// Hint for a photograph that is not read and may be a slide.
pub const HINT: &str =
    "if it is a slide, add `regions size=4096` to its source, which reads it region by region (`docs/data.md`)";

/// `NAME/region.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SlideRegion {
    /// Width and height of the level, px: the level is found by them.
    pub level_size: [u32; 2],
    /// Column of its first pixel in the level.
    pub left: u32,
    /// Row of its first pixel in the level.
    pub top: u32,
    /// Width, px.
    pub width: u32,
    /// Height, px.
    pub height: u32,
}

impl SlideRegion {
    /// Its place in the level.
    #[must_use]
    pub const fn rect(&self) -> Rect {
        let (left, top) = (self.left as usize, self.top as usize);
        Rect { left, top, right: left + self.width as usize, bottom: top + self.height as usize }
    }

    /// Digest of the photograph that it is of a slide with this digest: regions differ in it, so that the same patch is known by it.
    #[must_use]
    pub fn identity(&self, slide: &Digest) -> Digest {
        let mut hasher = Hasher::new("macula slide region 1");
        hasher.digest(slide);
        for number in [self.level_size[0], self.level_size[1], self.left, self.top, self.width, self.height] {
            hasher.int(u64::from(number));
        }
        hasher.finish()
    }

    /// Name of the region of slide `slide`: `slide-12.x8192y4096`.
    #[must_use]
    pub fn name(&self, slide: &str) -> String {
        format!("{slide}.x{}y{}", self.left, self.top)
    }

    /// Estimated peak bytes while it is read and cut, without those of strips and tiles.
    #[must_use]
    pub const fn bytes_in_flight(&self) -> u64 {
        self.width as u64 * self.height as u64 * 6
    }
}
