//! Parameter `regions` of sources.

use crate::stage::{Params, StageError};

/// How slides are divided into regions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionSettings {
    /// Side of a region, px.
    pub(super) size: u32,
    /// The level that regions are of.
    pub(super) level: WantedLevel,
}

/// A level of a slide, as the pipeline names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WantedLevel {
    /// By its number, from 0, the largest.
    Number(usize),
    /// By its resolution, micrometres per pixel.
    Micrometres(f64),
}

impl RegionSettings {
    /// From the parameters `regions.size`, `regions.level` and `regions.mpp`; [`None`] without regions.
    ///
    /// # Errors
    /// `regions` if they do not go together.
    pub fn of(params: &Params) -> Result<Option<Self>, StageError> {
        let (level, mpp) = (params.count_or_none("regions.level")?, params.real_or_none("regions.mpp")?);
        let wrong = |text: &str, hint: &str, field: &str| {
            Err(StageError::input("regions", text).hint(hint).field(format!("regions.{field}")))
        };
        let level = match (level, mpp) {
            (Some(_), Some(_)) => return wrong("`regions` has both `level` and `mpp`", "remove one of them", "mpp"),
            (level, None) => WantedLevel::Number(level.unwrap_or(0)),
            (None, Some(mpp)) => WantedLevel::Micrometres(mpp),
        };
        match params.count_or_none("regions.size")? {
            Some(size) => Ok(Some(Self { size: size as u32, level })),
            None if level == WantedLevel::Number(0) => Ok(None),
            None => {
                let field = if mpp.is_some() { "mpp" } else { "level" };
                wrong("`regions` needs the size of a region", "write e.g. `regions size=4096 level=1`", field)
            }
        }
    }
}
