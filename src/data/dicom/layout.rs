//! How the samples of a DICOM are stored (PS3.5, section 8.1.1). Reads no file.

/// How samples are stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleLayout {
    /// Width and height, px.
    pub(super) size: (usize, usize),
    /// Samples per pixel.
    pub(super) samples: usize,
    /// Bits that a sample takes: 8 or 16.
    pub(super) allocated: usize,
    /// Bits that are its value.
    pub(super) stored: usize,
    /// Number of the highest of these.
    pub(super) high: usize,
    /// Whether values are two's complement.
    pub(super) signed: bool,
    /// Whether all red samples come first, then all green ones.
    pub(super) planar: bool,
    /// Whether two pixels share their chroma.
    pub(super) halved: bool,
}

impl SampleLayout {
    /// Number of pixels.
    pub(super) const fn pixels(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// Bytes of all samples, uncompressed.
    pub(super) const fn bytes(&self) -> usize {
        if self.halved { self.pixels() * 2 } else { self.pixels() * self.samples * self.allocated / 8 }
    }

    /// Value of the bits of a sample.
    pub(super) const fn value(&self, bits: u16) -> i32 {
        let value = (bits >> (self.high + 1 - self.stored)) as i32 & ((1 << self.stored) - 1);
        if self.signed && value >> (self.stored - 1) == 1 { value - (1 << self.stored) } else { value }
    }

    /// Least and greatest value.
    pub(super) const fn range(&self) -> (i32, i32) {
        if self.signed {
            (-(1 << (self.stored - 1)), (1 << (self.stored - 1)) - 1)
        } else {
            (0, (1 << self.stored) - 1)
        }
    }
}
