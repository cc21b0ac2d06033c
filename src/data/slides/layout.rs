//! Regions of one slide: its levels by the header of its file, the level that is meant, and the grid on it.

use std::path::Path;

use super::CODE;
use super::settings::{RegionSettings, WantedLevel};
use crate::data::byte_source::{ByteSource, FileWindow};
use crate::data::slide_region::SlideRegion;
use crate::data::tiff::{self, CONVERT, Pyramid};
use crate::stage::StageError;

/// Most regions of a slide.
const MOST_REGIONS: usize = 100_000;

/// Largest factor between the resolution of a level and the one asked for.
const MOST_FACTOR: f64 = 1.25;

/// The regions of a slide.
pub(super) struct SlideLayout {
    /// Width and height of the first level, px: what annotations refer to.
    pub(super) size: [u32; 2],
    /// Width and height of the level that regions are of, px.
    pub(super) level: [u32; 2],
    /// First column of each column of regions, and the end of the last.
    pub(super) columns: Vec<u32>,
    /// First row of each row of regions, and the end of the last.
    pub(super) rows: Vec<u32>,
}

impl SlideLayout {
    /// The layout of the slide in a file.
    ///
    /// # Errors
    /// `slide`, naming the file.
    pub(super) fn of(path: &Path, settings: &RegionSettings) -> Result<Self, StageError> {
        let file = opened(path)?;
        let pyramid = pyramid(path, &file)?;
        let level = level(&pyramid, settings.level).map_err(|reason| {
            let text = format!("slide `{}`: {reason}", path.display());
            let field = if matches!(settings.level, WantedLevel::Number(_)) { "level" } else { "mpp" };
            StageError::input(CODE, text).hint(levels(&pyramid)).field(format!("regions.{field}"))
        })?;
        let level = &pyramid.levels[level];
        level.image().map_err(|reason| unread(path, &reason))?;
        let side = |[width, height]: [usize; 2]| [width as u32, height as u32];
        let own = side(level.size);
        let [columns, rows] = own.map(|side| starts(side, settings.size));
        if (columns.len() - 1) * (rows.len() - 1) > MOST_REGIONS {
            let count = (columns.len() - 1) * (rows.len() - 1);
            let text = format!("slide `{}` would have {count} regions of {} px", path.display(), settings.size);
            return Err(StageError::input(CODE, text).hint("use larger regions").field("regions.size"));
        }
        Ok(Self { size: side(pyramid.levels[0].size), level: own, columns, rows })
    }

    /// The regions, row by row.
    pub(super) fn regions(&self) -> impl Iterator<Item = SlideRegion> {
        self.rows.array_windows().flat_map(move |[top, bottom]| {
            self.columns.array_windows().map(move |[left, right]| SlideRegion {
                level_size: self.level,
                left: *left,
                top: *top,
                width: right - left,
                height: bottom - top,
            })
        })
    }
}

/// Starts of regions along a side, and its end. A rest of less than half a region belongs to the last one, so that no region is a narrow strip.
fn starts(side: u32, size: u32) -> Vec<u32> {
    let count = (side / size + u32::from(side % size * 2 >= size)).max(1);
    (0..count).map(|at| at * size).chain([side]).collect()
}

/// Width and height of a slide at full resolution, px.
///
/// # Errors
/// `slide`, naming the file.
pub fn slide_size(path: &Path) -> Result<[u32; 2], StageError> {
    let file = opened(path)?;
    let pyramid = pyramid(path, &file)?;
    Ok(pyramid.levels[0].size.map(|side| side as u32))
}

fn opened(path: &Path) -> Result<FileWindow, StageError> {
    FileWindow::open(path)
        .map_err(|error| StageError::input("unreadable-file", format!("cannot read `{}`: {error}", path.display())))
}

fn pyramid<'f>(path: &Path, file: &'f FileWindow) -> Result<Pyramid<'f>, StageError> {
    let source = ByteSource::Disk(file);
    if !source.at(0, 4).is_some_and(|start| tiff::begins(&start)) {
        let text = format!("`{}` is not a TIFF, and only these are read in regions", path.display());
        return Err(StageError::input(CODE, text).hint(format!("convert it: `{CONVERT}`")));
    }
    Pyramid::of_slide(source).map_err(|reason| unread(path, &reason))
}

fn unread(path: &Path, reason: &str) -> StageError {
    let text = format!("slide `{}` cannot be read: {reason}", path.display());
    let error = StageError::input(CODE, text);
    if reason.contains(CONVERT) { error } else { error.hint(format!("if the file is intact, convert it: `{CONVERT}`")) }
}

/// Number of the level that is meant.
fn level(pyramid: &Pyramid<'_>, wanted: WantedLevel) -> Result<usize, String> {
    let count = pyramid.levels.len();
    match wanted {
        WantedLevel::Number(number) if number < count => Ok(number),
        WantedLevel::Number(number) => Err(format!("it has no level {number}")),
        WantedLevel::Micrometres(wanted) => {
            let factor = |level: usize| {
                let ratio = pyramid.micrometres_of(level)? / wanted;
                Some(ratio.max(1.0 / ratio))
            };
            let factors = (0..count).filter_map(|level| Some((level, factor(level)?)));
            match factors.min_by(|one, other| one.1.total_cmp(&other.1)) {
                Some((level, factor)) if factor <= MOST_FACTOR => Ok(level),
                Some(_) => Err(format!("no level is near {wanted} µm per pixel")),
                None => Err("the file does not say how many µm a pixel is wide".to_owned()),
            }
        }
    }
}

/// The levels of a slide, in words.
fn levels(pyramid: &Pyramid<'_>) -> String {
    let level = |(number, level): (usize, &tiff::PyramidLevel<'_>)| {
        let resolution =
            pyramid.micrometres_of(number).map_or(String::new(), |found| format!(", {found:.3} µm per pixel"));
        format!("{number} ({} x {} px{resolution})", level.size[0], level.size[1])
    };
    let all: Vec<String> = pyramid.levels.iter().enumerate().map(level).collect();
    let cut = if pyramid.is_damaged {
        "; the file describes further ones that cannot be read: it may be incomplete"
    } else {
        ""
    };
    format!("its levels are {}{cut}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::starts;

    #[test]
    fn regions_cover_a_side_and_none_is_narrow() {
        assert_eq!(starts(1000, 256), [0, 256, 512, 768, 1000], "232 are more than half");
        assert_eq!(starts(1000, 300), [0, 300, 600, 1000], "100 are too few for a region");
        assert_eq!(starts(1024, 256), [0, 256, 512, 768, 1024]);
        assert_eq!(starts(100, 256), [0, 100]);
        assert_eq!(starts(300, 256), [0, 300]);
    }
}
