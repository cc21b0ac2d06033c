//! Shapes that are drawn on a slide, as those of its regions.

use super::layout::SlideLayout;
use crate::data::annotations::{DrawnMask, RegionGrid};
use crate::data::slide_region::SlideRegion;

/// The mask of each region. A region without a shape of the class has an empty one: its slide was annotated.
pub(super) fn divided(mask: &DrawnMask, layout: &SlideLayout) -> Result<Vec<DrawnMask>, &'static str> {
    let size = |region: SlideRegion| [region.width, region.height];
    let mut masks: Vec<DrawnMask> =
        layout.regions().map(|region| DrawnMask { size: size(region), shapes: Vec::new() }).collect();
    let grid = RegionGrid { slide: layout.size, level: layout.level, columns: &layout.columns, rows: &layout.rows };
    for shape in &mask.shapes {
        grid.divide(shape, |number, part| masks[number].shapes.push(part))?;
    }
    Ok(masks)
}
