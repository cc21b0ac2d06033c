//! Conversion of bytes to f32: number formats, and strided views. They know no file format.

/// Floating-point format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F32,
    F64,
    F16,
    Bf16,
}

impl Number {
    const fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// Byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// Bytes of a number in little-endian order.
    fn little<const N: usize>(self, mut bytes: [u8; N]) -> [u8; N] {
        if self == Self::Big {
            bytes.reverse();
        }
        bytes
    }
}

/// Strided view of a storage, like a torch tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StridedView {
    pub(super) number: Number,
    pub(super) shape: Vec<usize>,
    /// Stride of each axis, in numbers.
    pub(super) strides: Vec<usize>,
    /// Offset of the first value, in numbers.
    pub(super) offset: usize,
}

impl StridedView {
    /// Number of values; [`None`] on overflow.
    pub(super) fn count(&self) -> Option<usize> {
        product(&self.shape)
    }

    /// Values in row-major order. [`None`] if one lies outside `bytes`.
    pub(super) fn values(&self, bytes: &[u8], order: ByteOrder) -> Option<Vec<f32>> {
        let count = self.count()?;
        if count == 0 {
            return Some(Vec::new());
        }
        let reach = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |reach, (side, stride)| reach.checked_add((side - 1).checked_mul(*stride)?))?;
        let needed = reach.checked_add(1)?.checked_mul(self.number.bytes())?;
        if needed > bytes.len() {
            return None;
        }
        let places = ViewOffsets { view: self, index: vec![0; self.shape.len()], at: self.offset, left: count };
        Some(if self.is_plain() {
            let (from, width) = (self.offset * self.number.bytes(), self.number.bytes());
            floats(self.number, &bytes[from..from + count * width], order)
        } else {
            match self.number {
                Number::F32 => gather(bytes, order, places, f32::from_le_bytes),
                Number::F64 => gather(bytes, order, places, |bytes| f64::from_le_bytes(bytes) as f32),
                Number::F16 => gather(bytes, order, places, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
                Number::Bf16 => gather(bytes, order, places, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            }
        })
    }

    /// Whether the view is contiguous. The stride of an axis of length 1 does not matter.
    fn is_plain(&self) -> bool {
        let mut wanted = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&side, &stride)| {
            let plain = side == 1 || stride == wanted;
            wanted *= side;
            plain
        })
    }
}

/// Product of a shape; [`None`] on overflow.
pub(super) fn product(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1_usize, |all, side| all.checked_mul(*side)) }
}

/// Offsets of the values of a view, in row-major order.
struct ViewOffsets<'a> {
    view: &'a StridedView,
    index: Vec<usize>,
    at: usize,
    left: usize,
}

impl Iterator for ViewOffsets<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let (here, StridedView { shape, strides, .. }) = (self.at, self.view);
        for axis in (0..shape.len()).rev() {
            self.index[axis] += 1;
            // The stride of an axis of length 1 may be any number.
            self.at = self.at.wrapping_add(strides[axis]);
            if self.index[axis] < shape[axis] {
                break;
            }
            self.at = self.at.wrapping_sub(strides[axis].wrapping_mul(shape[axis]));
            self.index[axis] = 0;
        }
        Some(here)
    }
}

/// Numbers at `places`, all of which lie within `bytes`.
fn gather<const N: usize>(
    bytes: &[u8],
    order: ByteOrder,
    places: ViewOffsets,
    read: impl Fn([u8; N]) -> f32,
) -> Vec<f32> {
    let numbers = bytes.as_chunks().0;
    places.map(|place| read(order.little(numbers[place]))).collect()
}

/// Converts all numbers of `bytes`.
pub(super) fn floats(number: Number, bytes: &[u8], order: ByteOrder) -> Vec<f32> {
    fn each<const N: usize>(bytes: &[u8], order: ByteOrder, read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|bytes| read(order.little(*bytes))).collect()
    }
    match number {
        Number::F32 => each(bytes, order, f32::from_le_bytes),
        Number::F64 => each(bytes, order, |bytes| f64::from_le_bytes(bytes) as f32),
        Number::F16 => each(bytes, order, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
        Number::Bf16 => each(bytes, order, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shape: &[usize], strides: &[usize], offset: usize) -> StridedView {
        StridedView { number: Number::F32, shape: shape.to_vec(), strides: strides.to_vec(), offset }
    }

    fn storage(count: u8) -> Vec<u8> {
        (0..count).flat_map(|value| f32::from(value).to_le_bytes()).collect()
    }

    #[test]
    fn views_are_read_by_shape_stride_and_offset() {
        let bytes = storage(12);
        let read = |view: StridedView| view.values(&bytes, ByteOrder::Little);
        assert_eq!(read(view(&[2, 3], &[3, 1], 1)), Some(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(read(view(&[3, 2], &[1, 3], 0)), Some(vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
        assert_eq!(read(view(&[2, 2], &[6, 2], 1)), Some(vec![1.0, 3.0, 7.0, 9.0]));
        assert_eq!(read(view(&[2, 2], &[0, 1], 10)), Some(vec![10.0, 11.0, 10.0, 11.0]));
        assert_eq!(read(view(&[], &[], 5)), Some(vec![5.0]));
        assert_eq!(read(view(&[1, 3], &[999, 1], 9)), Some(vec![9.0, 10.0, 11.0]));
        assert_eq!(read(view(&[0, 3], &[3, 1], 99)), Some(vec![]));
    }

    #[test]
    fn views_that_leave_their_storage_are_refused() {
        let bytes = storage(12);
        for lie in [
            view(&[13], &[1], 0),
            view(&[2], &[12], 0),
            view(&[1], &[1], 12),
            view(&[2, 2], &[usize::MAX, 1], 0),
            view(&[usize::MAX, 2], &[1, 1], 0),
            view(&[1], &[1], usize::MAX),
        ] {
            assert_eq!(lie.values(&bytes, ByteOrder::Little), None, "{lie:?}");
        }
    }

    #[test]
    fn numbers_of_all_formats_and_orders_are_read() {
        assert_eq!(floats(Number::F64, &(-1.5_f64).to_le_bytes(), ByteOrder::Little), [-1.5]);
        assert_eq!(floats(Number::F16, &[0x00, 0xc0], ByteOrder::Little), [-2.0]);
        assert_eq!(floats(Number::Bf16, &[0x80, 0x3f], ByteOrder::Little), [1.0]);
        assert_eq!(floats(Number::F32, &1.25_f32.to_be_bytes(), ByteOrder::Big), [1.25]);
    }
}
