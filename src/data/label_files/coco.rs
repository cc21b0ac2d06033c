//! COCO JSON with an annotation per lesion. A lesion without holes is one polygon or several; one with holes is an uncompressed RLE,
//! since a polygon of COCO has none.

use serde::Serialize;

use super::{LabelledPicture, OutlinedLesion};
use crate::data::bitmap::Bitmap;
use crate::data::patches::Label;
use crate::stage::StageError;

/// A COCO file that grows by pictures.
#[derive(Debug, Serialize)]
pub struct CocoWriter {
    info: CocoInfo,
    images: Vec<CocoImage>,
    categories: Vec<CocoCategory>,
    annotations: Vec<CocoAnnotation>,
}

#[derive(Debug, Serialize)]
struct CocoInfo {
    description: &'static str,
}

#[derive(Debug, Serialize)]
struct CocoImage {
    id: usize,
    file_name: String,
    width: u32,
    height: u32,
    /// Categories that were searched for and not found, as in LVIS.
    neg_category_ids: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct CocoCategory {
    id: usize,
    name: String,
    supercategory: &'static str,
}

#[derive(Debug, Serialize)]
struct CocoAnnotation {
    id: usize,
    image_id: usize,
    category_id: usize,
    segmentation: CocoSegmentation,
    area: u32,
    /// Left, top, width, height.
    bbox: [usize; 4],
    iscrowd: u8,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum CocoSegmentation {
    /// Flat lists of coordinates.
    Polygons(Vec<Vec<u32>>),
    /// Lengths of runs, column by column, outside first; size as height and width.
    Runs { size: [u32; 2], counts: Vec<u64> },
}

impl CocoWriter {
    /// A file without pictures.
    #[must_use]
    pub fn new(classes: &[String]) -> Self {
        let category =
            |(at, name): (usize, &String)| CocoCategory { id: at + 1, name: name.clone(), supercategory: "label" };
        Self {
            info: CocoInfo { description: "exported by macula" },
            images: Vec::new(),
            categories: classes.iter().enumerate().map(category).collect(),
            annotations: Vec::new(),
        }
    }

    /// Adds a picture and its lesions.
    pub fn add(&mut self, picture: &LabelledPicture) {
        let image_id = self.images.len() + 1;
        let absent = picture.labels.iter().enumerate().filter(|(_, label)| **label == Label::Absent);
        self.images.push(CocoImage {
            id: image_id,
            file_name: picture.file.clone(),
            width: picture.size[0],
            height: picture.size[1],
            neg_category_ids: absent.map(|(class, _)| class + 1).collect(),
        });
        for lesion in &picture.lesions {
            let box_of = lesion.bounds;
            self.annotations.push(CocoAnnotation {
                id: self.annotations.len() + 1,
                image_id,
                category_id: lesion.class + 1,
                segmentation: segmentation(lesion, picture.size),
                area: lesion.pixels,
                bbox: [box_of.left, box_of.top, box_of.right - box_of.left, box_of.bottom - box_of.top],
                iscrowd: 0,
            });
        }
    }

    /// The file.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StageError> {
        serde_json::to_vec(self).map_err(|error| StageError::Bug(error.to_string()))
    }
}

fn segmentation(lesion: &OutlinedLesion, [width, height]: [u32; 2]) -> CocoSegmentation {
    if lesion.outline.iter().all(|polygon| polygon.holes.is_empty()) {
        let flat = lesion.outline.iter().map(|polygon| polygon.exterior.concat());
        return CocoSegmentation::Polygons(flat.collect());
    }
    let (left, top) = (lesion.bounds.left, lesion.bounds.top);
    let mut bits = Bitmap::new(lesion.bounds.right - left, lesion.bounds.bottom - top);
    for run in &lesion.runs {
        bits.set_columns(run.y as usize - top, run.left as usize - left..run.right as usize - left);
    }
    let (mut counts, mut end) = (Vec::new(), 0);
    for (x, y) in (0..bits.width()).flat_map(|x| (0..bits.height()).map(move |y| (x, y))) {
        if !bits.get(x, y) {
            continue;
        }
        let at = (left + x) as u64 * u64::from(height) + (top + y) as u64;
        match counts.last_mut() {
            Some(inside) if at == end => *inside += 1,
            _ => counts.extend([at - end, 1]),
        }
        end = at + 1;
    }
    let all = u64::from(width) * u64::from(height);
    counts.extend((end < all).then_some(all - end));
    CocoSegmentation::Runs { size: [height, width], counts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::label_files::lesions;
    use crate::data::mask::Mask;

    /// Segmentation of the only lesion of a picture, whose rows are texts.
    fn of(rows: &[&str]) -> CocoSegmentation {
        let mut bits = Bitmap::new(rows[0].len(), rows.len());
        for (y, row) in rows.iter().enumerate() {
            row.bytes().enumerate().filter(|(_, byte)| *byte == b'x').for_each(|(x, _)| bits.set(x, y));
        }
        let found = lesions(0, &Mask::released(bits));
        assert_eq!(found.len(), 1);
        segmentation(&found[0], [rows[0].len() as u32, rows.len() as u32])
    }

    #[test]
    fn a_lesion_with_a_hole_is_run_lengths_and_another_is_polygons() {
        let CocoSegmentation::Runs { size, counts } = of(&["xxx.", "x.x.", "xxx."]) else { panic!("it has a hole") };
        assert_eq!((size, counts), ([3, 4], vec![0, 4, 1, 4, 3]), "down the columns, without a gap between them");
        let CocoSegmentation::Runs { counts, .. } = of(&["....", ".xxx", ".x.x", ".xxx"]) else {
            panic!("it has a hole")
        };
        assert_eq!(counts, [5, 3, 1, 1, 1, 1, 1, 3], "up to the last pixel");
        let CocoSegmentation::Polygons(polygons) = of(&["x..", ".xx", "..."]) else { panic!("it has no hole") };
        assert_eq!(polygons, [[0, 0, 1, 0, 1, 1, 0, 1], [1, 1, 3, 1, 3, 2, 1, 2]], "parts that share a corner");
    }
}
