//! Image files built field by field and chunk by chunk, so that each has exactly what a test is about.

use std::io::Write;

/// A field of a TIFF directory: tag, type, values.
pub(crate) type Field = (u16, u16, Vec<f64>);

/// A page: its own fields in addition to those of its strip, and its pixel bytes.
pub(crate) struct Page {
    pub(crate) fields: Vec<Field>,
    pub(crate) pixels: Vec<u8>,
}

impl Page {
    /// Grey or colour samples of `bits` bits, uncompressed.
    pub(crate) fn new(size: (usize, usize), bits: usize, samples: usize, photometric: u16, pixels: Vec<u8>) -> Self {
        let fields = vec![
            (256, 3, vec![size.0 as f64]),
            (257, 3, vec![size.1 as f64]),
            (258, 3, vec![bits as f64; samples]),
            (259, 3, vec![1.0]),
            (262, 3, vec![f64::from(photometric)]),
            (277, 3, vec![samples as f64]),
            (278, 3, vec![size.1 as f64]),
        ];
        Self { fields, pixels }
    }

    /// With an additional field.
    pub(crate) fn with(mut self, tag: u16, kind: u16, values: &[f64]) -> Self {
        self.fields.retain(|field| field.0 != tag);
        self.fields.push((tag, kind, values.to_vec()));
        self.fields.sort_by_key(|field| field.0);
        self
    }
}

/// Byte order and offset size of a TIFF.
#[derive(Clone, Copy)]
pub(crate) struct Order {
    /// Whether it is big-endian.
    pub(crate) big: bool,
    /// A `BigTIFF`.
    pub(crate) wide: bool,
}

pub(crate) const LITTLE: Order = Order { big: false, wide: false };

impl Order {
    fn whole(self, value: u64, bytes: usize) -> Vec<u8> {
        if self.big { value.to_be_bytes()[8 - bytes..].to_vec() } else { value.to_le_bytes()[..bytes].to_vec() }
    }

    fn value(self, kind: u16, value: f64) -> Vec<u8> {
        match kind {
            1 | 2 | 7 => self.whole(value as u64, 1),
            6 => self.whole(u64::from((value as i8).cast_unsigned()), 1),
            3 => self.whole(value as u64, 2),
            8 => self.whole(u64::from((value as i16).cast_unsigned()), 2),
            4 | 13 => self.whole(value as u64, 4),
            9 => self.whole(u64::from((value as i32).cast_unsigned()), 4),
            5 | 10 => [self.whole(value as u64 * 3, 4), self.whole(3, 4)].concat(),
            11 => self.whole(u64::from((value as f32).to_bits()), 4),
            12 => self.whole(value.to_bits(), 8),
            _ => self.whole(value as u64, 8),
        }
    }
}

/// A TIFF with these pages.
pub(crate) fn tiff(order: Order, pages: &[Page]) -> Vec<u8> {
    let offset = if order.wide { 8 } else { 4 };
    let mut out = if order.big { b"MM".to_vec() } else { b"II".to_vec() };
    if order.wide {
        out.extend([order.whole(43, 2), order.whole(8, 2), order.whole(0, 2)].concat());
    } else {
        out.extend(order.whole(42, 2));
    }
    // Where it is said where the next directory stands.
    let mut said = out.len();
    out.extend(order.whole(0, offset));
    for page in pages {
        let start = out.len();
        out.extend(&page.pixels);
        let mut fields = page.fields.clone();
        fields.push((273, 4, vec![start as f64]));
        fields.push((279, 4, vec![page.pixels.len() as f64]));
        fields.sort_by_key(|field| field.0);
        let mut rows = Vec::new();
        for (tag, kind, values) in &fields {
            let bytes: Vec<u8> = values.iter().flat_map(|value| order.value(*kind, *value)).collect();
            rows.extend([order.whole(u64::from(*tag), 2), order.whole(u64::from(*kind), 2)].concat());
            rows.extend(order.whole(values.len() as u64, offset));
            if bytes.len() <= offset {
                rows.extend(bytes.iter().copied().chain([0; 8]).take(offset));
            } else {
                rows.extend(order.whole(out.len() as u64, offset));
                out.extend(bytes);
            }
        }
        let here = order.whole(out.len() as u64, offset);
        out[said..said + offset].copy_from_slice(&here);
        out.extend(order.whole(fields.len() as u64, if order.wide { 8 } else { 2 }));
        out.extend(rows);
        said = out.len();
        out.extend(order.whole(0, offset));
    }
    out
}

/// An EXIF block with an orientation of this type.
pub(crate) fn exif(order: Order, kind: u16, orientation: f64) -> Vec<u8> {
    let mut page = Page { fields: vec![(274, kind, vec![orientation])], pixels: Vec::new() };
    page.fields.push((271, 2, b"camera\0".map(f64::from).to_vec()));
    tiff(order, &[page])
}

/// Deflate with a zlib header.
pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn chunk(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(kind);
    sum.update(body);
    [&(body.len() as u32).to_be_bytes(), kind, body, &sum.sum().to_be_bytes()].concat()
}

/// A PNG of this depth and colour type, from packed rows, with chunks before and after the pixels.
pub(crate) fn png(
    size: (usize, usize),
    bits: u8,
    colour: u8,
    rows: &[u8],
    before: &[(&[u8; 4], &[u8])],
    behind: &[(&[u8; 4], &[u8])],
) -> Vec<u8> {
    let filtered: Vec<u8> = rows.chunks(rows.len() / size.1).flat_map(|row| [&[0], row].concat()).collect();
    let [width, height] = [size.0, size.1].map(|side| (side as u32).to_be_bytes());
    let head = [width.as_slice(), &height, &[bits, colour, 0, 0, 0]].concat();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    out.extend(chunk(b"IHDR", &head));
    for (kind, body) in before {
        out.extend(chunk(*kind, body));
    }
    out.extend(chunk(b"IDAT", &zlib(&filtered)));
    for (kind, body) in behind {
        out.extend(chunk(*kind, body));
    }
    out.extend(chunk(b"IEND", b""));
    out
}

/// A JPEG with a segment right after its start marker.
pub(crate) fn jpeg_with(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, marker], &length, body, &jpeg[2..]].concat()
}
