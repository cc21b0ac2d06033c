//! Slides: pictures too large to be decoded whole. A source divides them into regions of a level; each is a photograph of its own, which
//! refers to the slide's file, and only the strips or tiles that it touches are read. `docs/design/slides.md` says why.

mod cut;
mod layout;
mod mask;
mod memory;
mod read;
mod settings;
mod shapes;

pub use cut::{cut, is_slide, unread_hint};
pub use layout::slide_size;
pub use settings::RegionSettings;

pub(super) use mask::{RegionMaskFault, region_mask};
pub(super) use memory::BlockMemory;
pub(super) use read::read;

/// Code of slides that cannot be read in regions.
pub const CODE: &str = "slide";
