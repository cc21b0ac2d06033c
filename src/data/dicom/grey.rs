//! Grey values of a DICOM in 8 bits: rescaling, then a window (PS3.3, C.11.2.1.2 and C.11.2.1.3), or else the range of the stored bits.

use super::DicomFault;
use super::attributes::{self as tag, DicomAttributes};
use super::layout::SampleLayout;

/// Meaning of grey values.
pub(super) struct GreyScale {
    slope: f64,
    intercept: f64,
    /// Window of rescaled values; [`None`] if the file states none.
    pub(super) window: Option<ValueWindow>,
    /// Whether the least value is white.
    is_inverted: bool,
    /// Least and greatest stored value.
    range: (i32, i32),
}

/// Values that are shown between black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ValueWindow {
    centre: f64,
    width: f64,
    function: WindowFunction,
}

/// How a window's values become grey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WindowFunction {
    Linear,
    LinearExact,
    Sigmoid,
}

impl ValueWindow {
    /// Brightness of a value, 0 to 1.
    fn brightness(&self, value: f64) -> f64 {
        let Self { centre, width, function } = *self;
        let linear = |centre: f64, width: f64| {
            if value <= centre - width / 2.0 {
                0.0
            } else if value > centre + width / 2.0 {
                1.0
            } else {
                (value - centre) / width + 0.5
            }
        };
        match function {
            WindowFunction::Linear => linear(centre - 0.5, width - 1.0),
            WindowFunction::LinearExact => linear(centre, width),
            WindowFunction::Sigmoid => 1.0 / (1.0 + libm::exp(-4.0 * (value - centre) / width)),
        }
    }
}

impl GreyScale {
    /// Reads rescaling and the first window.
    ///
    /// # Errors
    /// Numbers that cannot be read, or a table of values instead of them.
    pub(super) fn read(
        attributes: &DicomAttributes<'_>,
        layout: &SampleLayout,
        is_inverted: bool,
    ) -> Result<Self, DicomFault> {
        if attributes.has(tag::MODALITY_TABLE) {
            return Err(DicomFault::unread("its values are rescaled by a table (Modality LUT Sequence)"));
        }
        let (slope, intercept) = (first(attributes, tag::SLOPE)?, first(attributes, tag::INTERCEPT)?);
        let (slope, intercept) = slope.zip(intercept).unwrap_or((1.0, 0.0));
        if slope == 0.0 {
            return Err(DicomFault::Damaged("its rescale slope is 0".to_owned()));
        }
        let window = first(attributes, tag::WINDOW_CENTRE)?.zip(first(attributes, tag::WINDOW_WIDTH)?);
        let Some((centre, width)) = window else {
            if attributes.has(tag::VALUES_TABLE) {
                return Err(DicomFault::unread("it has a table of grey values (VOI LUT Sequence) and no window"));
            }
            if attributes.has(tag::SHARED_GROUPS) {
                return Err(DicomFault::unread("it is an enhanced object, whose window is in functional groups"));
            }
            return Ok(Self { slope, intercept, window: None, is_inverted, range: layout.range() });
        };
        let function = match attributes.text(tag::WINDOW_FUNCTION).as_deref() {
            None | Some("LINEAR") => WindowFunction::Linear,
            Some("LINEAR_EXACT") => WindowFunction::LinearExact,
            Some("SIGMOID") => WindowFunction::Sigmoid,
            Some(_) => return Err(DicomFault::unread("its window has an unknown function")),
        };
        let is_valid = if function == WindowFunction::Linear { width >= 1.0 } else { width > 0.0 };
        if !is_valid {
            return Err(DicomFault::Damaged(format!("its window cannot have a width of {width}")));
        }
        let window = Some(ValueWindow { centre, width, function });
        Ok(Self { slope, intercept, window, is_inverted, range: layout.range() })
    }

    /// Grey level of a stored value.
    pub(super) fn eight_bits(&self, stored: i32) -> u8 {
        let brightness = if let Some(window) = self.window {
            window.brightness(f64::from(stored) * self.slope + self.intercept)
        } else {
            let (least, most) = self.range;
            let part = f64::from(stored - least) / f64::from(most - least);
            if self.slope < 0.0 { 1.0 - part } else { part }
        };
        let level = (brightness * 255.0 + 0.5).floor().clamp(0.0, 255.0) as u8;
        if self.is_inverted { 255 - level } else { level }
    }
}

/// The first number of an element; [`None`] if the element is missing.
fn first(attributes: &DicomAttributes<'_>, tag: u32) -> Result<Option<f64>, DicomFault> {
    if !attributes.has(tag) {
        return Ok(None);
    }
    let number = attributes.numbers(tag).and_then(|numbers| numbers.first().copied());
    number.map(Some).ok_or_else(|| DicomFault::Damaged("its rescaling or window is not a number".to_owned()))
}
