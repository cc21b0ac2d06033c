//! Lesion masks in TIFF, whatever their encoding: the first picture of the file as one bit a pixel. Written here because the
//! `tiff` crate refuses palettes of fewer than 8 bits, which is what `IDRiD`'s masks are.
//!
//! Read: bilevel, grey (1, 2, 4, 8, 16 bits), palette (1, 2, 4, 8), RGB and RGBA (8, 16); uncompressed, `PackBits`, LZW, Deflate;
//! strips and tiles; both byte orders and fill orders; horizontal differences. Everything of the file is taken as hostile:
//! sizes are bounded before memory is, and every offset is checked. References: TIFF 6.0 (Adobe, 1992) and its supplement 2.

use std::borrow::Cow;
use std::io::Read;

use super::bitmap::Bitmap;
use super::mask::{Colour, Threshold};

/// The largest mask that is read, pixels: 2^28 (16384 x 16384).
pub const MOST_PIXELS: usize = 1 << 28;

/// Reads a mask: set where a pixel is lesion by what it means (see [`Threshold`]).
///
/// # Errors
/// Says what is wrong with the file, in a few words.
pub fn read(bytes: &[u8], threshold: Threshold) -> Result<Bitmap, String> {
    let file = File::open(bytes)?;
    let picture = Picture::describe(&file)?;
    let meaning = Meaning::new(&picture, threshold)?;
    let mut mask = Bitmap::new(picture.width, picture.height);
    let across = picture.width.div_ceil(picture.block_width);
    for block in 0..across * picture.height.div_ceil(picture.block_height) {
        let (left, top) = (block % across * picture.block_width, block / across * picture.block_height);
        let rows = picture.block_height.min(picture.height - top);
        let data = picture.block(&file, block, rows)?;
        for (row, y) in data.chunks_exact(picture.row_bytes()).zip(top..top + rows) {
            meaning.mark(row, &picture, left, y, &mut mask);
        }
    }
    Ok(mask)
}

/// The bytes of a file, read in its byte order.
struct File<'a> {
    bytes: &'a [u8],
    big: bool,
    /// Tag, type, count and where the value stands.
    fields: Vec<(u16, u16, usize, usize)>,
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let big = match bytes.get(..2) {
            Some(b"II") => false,
            Some(b"MM") => true,
            _ => return Err("it does not begin as a TIFF".to_owned()),
        };
        let mut file = Self { bytes, big, fields: Vec::new() };
        match file.short(2)? {
            42 => {}
            43 => return Err("it is a BigTIFF; save it as a classic TIFF".to_owned()),
            _ => return Err("it does not begin as a TIFF".to_owned()),
        }
        let directory = file.long(4)?;
        for at in (0..file.short(directory)?).map(|i| directory + 2 + 12 * i) {
            let (tag, kind, count) = (file.short(at)?, file.short(at + 2)?, file.long(at + 4)?);
            file.fields.push((tag as u16, kind as u16, count, at + 8));
        }
        Ok(file)
    }

    fn slice(&self, from: usize, len: usize) -> Result<&'a [u8], String> {
        let end = from.checked_add(len);
        end.and_then(|end| self.bytes.get(from..end))
            .ok_or_else(|| "it is truncated or points outside itself".to_owned())
    }

    fn short(&self, at: usize) -> Result<usize, String> {
        let bytes = self.slice(at, 2)?.try_into().expect("two bytes");
        Ok(usize::from(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }))
    }

    fn long(&self, at: usize) -> Result<usize, String> {
        let bytes = self.slice(at, 4)?.try_into().expect("four bytes");
        Ok(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) } as usize)
    }

    /// How many values a field has; 0 where it is missing.
    fn count(&self, tag: u16) -> usize {
        self.fields.iter().find(|field| field.0 == tag).map_or(0, |field| field.2)
    }

    /// Value `index` of a field of whole numbers; [`None`] where the file lacks the field.
    fn value(&self, tag: u16, index: usize) -> Result<Option<usize>, String> {
        let Some(&(_, kind, count, place)) = self.fields.iter().find(|field| field.0 == tag) else { return Ok(None) };
        let size: usize = match kind {
            1 => 1,
            3 => 2,
            4 => 4,
            _ => return Err(format!("field {tag} is not a whole number")),
        };
        if index >= count {
            return Err(format!("field {tag} has only {count} values"));
        }
        let inside = size.checked_mul(count).is_some_and(|bytes| bytes <= 4);
        let start = if inside { place } else { self.long(place)? };
        let at = index.checked_mul(size).and_then(|offset| start.checked_add(offset)).unwrap_or(usize::MAX);
        Ok(Some(match size {
            1 => usize::from(self.slice(at, 1)?[0]),
            2 => self.short(at)?,
            _ => self.long(at)?,
        }))
    }

    fn one(&self, tag: u16, default: usize) -> Result<usize, String> {
        Ok(self.value(tag, 0)?.unwrap_or(default))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colours {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
}

/// How the picture lies in the file.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the file that is either set or not")]
struct Picture {
    width: usize,
    height: usize,
    bits: usize,
    samples: usize,
    colours: Colours,
    compression: usize,
    /// Least significant bit first.
    reversed: bool,
    differences: bool,
    big: bool,
    block_width: usize,
    block_height: usize,
    tiled: bool,
    palette: Vec<Colour>,
}

impl Picture {
    fn describe(file: &File<'_>) -> Result<Self, String> {
        let (width, height) = (file.one(256, 0)?, file.one(257, 0)?);
        if width == 0 || height == 0 {
            return Err("it names no width or no height".to_owned());
        }
        if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(format!("{width} x {height} pixels are more than a mask may have"));
        }
        let samples = file.one(277, 1)?;
        let bits = file.one(258, 1)?;
        for sample in 1..samples.min(file.count(258)).min(8) {
            if file.value(258, sample)? != Some(bits) {
                return Err("its samples differ in size".to_owned());
            }
        }
        let colours = match file.one(262, 1)? {
            0 => Colours::WhiteIsZero,
            1 => Colours::BlackIsZero,
            2 => Colours::Rgb,
            3 => Colours::Palette,
            other => return Err(format!("photometric interpretation {other} is not one for masks")),
        };
        let fits = match colours {
            Colours::Rgb => matches!(bits, 8 | 16) && (3..=4).contains(&samples),
            Colours::Palette => matches!(bits, 1 | 2 | 4 | 8) && samples == 1,
            _ => matches!(bits, 1 | 2 | 4 | 8 | 16) && samples == 1 || matches!(bits, 8 | 16) && samples == 2,
        };
        if !fits {
            return Err(format!("{samples} samples of {bits} bits are not read as a mask"));
        }
        if file.one(339, 1)? == 3 {
            return Err("its samples are floating point".to_owned());
        }
        if samples > 1 && file.one(284, 1)? != 1 {
            return Err("its channels lie in separate planes".to_owned());
        }
        let compression = file.one(259, 1)?;
        match compression {
            1 | 5 | 8 | 32773 | 32946 => {}
            2..=4 => return Err("it is compressed as a fax (CCITT); save it with LZW or Deflate".to_owned()),
            6 | 7 => return Err("it is compressed as JPEG, which blurs masks; save it with LZW or Deflate".to_owned()),
            other => return Err(format!("compression {other} is not read; save it with LZW or Deflate")),
        }
        let differences = match file.one(317, 1)? {
            1 => false,
            2 if matches!(bits, 8 | 16) => true,
            other => return Err(format!("predictor {other} is not read with {bits} bits")),
        };
        let tiled = file.count(322) > 0;
        let (block_width, block_height) = if tiled {
            let (width, height) = (file.one(322, 0)?, file.one(323, 0)?);
            if width % 16 != 0 || height % 16 != 0 || width == 0 || height == 0 || width.max(height) > 1 << 15 {
                return Err(format!("tiles of {width} x {height} are not valid"));
            }
            (width, height)
        } else {
            (width, file.one(278, height)?.clamp(1, height))
        };
        let picture = Self {
            width,
            height,
            bits,
            samples,
            colours,
            compression,
            reversed: file.one(266, 1)? == 2,
            differences,
            big: file.big,
            block_width,
            block_height,
            tiled,
            palette: if colours == Colours::Palette { palette(file, bits)? } else { Vec::new() },
        };
        Ok(picture)
    }

    fn row_bytes(&self) -> usize {
        (self.block_width * self.samples * self.bits).div_ceil(8)
    }

    /// The bytes of a strip's or tile's first `rows` rows.
    fn block<'a>(&self, file: &File<'a>, block: usize, rows: usize) -> Result<Cow<'a, [u8]>, String> {
        let (offsets, sizes) = if self.tiled { (324, 325) } else { (273, 279) };
        let missing = || "it does not say where its pixels are".to_owned();
        let offset = file.value(offsets, block)?.ok_or_else(missing)?;
        let whole = self.row_bytes() * rows;
        // Some writers leave out the size of the one strip they write.
        let left = file.bytes.len().saturating_sub(offset);
        let size = if file.count(sizes) == 0 { left } else { file.value(sizes, block)?.ok_or_else(missing)? };
        let mut raw = Cow::Borrowed(file.slice(offset, size)?);
        if self.reversed {
            raw.to_mut().iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut data = match self.compression {
            1 => raw,
            32773 => Cow::Owned(unpack_bits(&raw, whole)),
            5 => Cow::Owned(unpack_lzw(&raw, whole)?),
            _ => Cow::Owned(inflate(&raw, whole)),
        };
        if data.len() < whole {
            return Err("its pixels end too early: the file is truncated or damaged".to_owned());
        }
        if self.differences {
            data.to_mut().chunks_exact_mut(self.row_bytes()).for_each(|row| self.undo_differences(row));
        }
        Ok(data)
    }

    fn undo_differences(&self, row: &mut [u8]) {
        if self.bits == 8 {
            for i in self.samples..row.len() {
                row[i] = row[i].wrapping_add(row[i - self.samples]);
            }
            return;
        }
        let read = |pair: [u8; 2]| if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        let (pairs, _) = row.as_chunks_mut::<2>();
        for i in self.samples..pairs.len() {
            let sum = read(pairs[i]).wrapping_add(read(pairs[i - self.samples]));
            pairs[i] = if self.big { sum.to_be_bytes() } else { sum.to_le_bytes() };
        }
    }

    /// The samples of pixel `x` of a row.
    fn pixel(&self, row: &[u8], x: usize) -> [u16; 4] {
        let mut samples = [0; 4];
        for (c, sample) in samples.iter_mut().enumerate().take(self.samples) {
            let at = x * self.samples + c;
            *sample = match self.bits {
                8 => u16::from(row[at]),
                16 => {
                    let pair = [row[2 * at], row[2 * at + 1]];
                    if self.big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
                }
                bits => {
                    let in_byte = 8 / bits;
                    u16::from(row[at / in_byte] >> (8 - bits * (at % in_byte + 1))) & ((1 << bits) - 1)
                }
            };
        }
        samples
    }
}

/// Which values of a picture are lesion.
enum Meaning {
    /// One sample of at most 8 bits: a table, and for one bit whether 0 and 1 are.
    Table(Box<[bool; 256]>),
    /// A lowest value of grey (after white-is-zero is turned round), or of any of three channels.
    Level { least: u16, white_is_zero: bool, channels: usize },
}

impl Meaning {
    fn new(picture: &Picture, threshold: Threshold) -> Result<Self, String> {
        let most = ((1u32 << picture.bits) - 1) as u16;
        let least = threshold.level(most);
        let white_is_zero = picture.colours == Colours::WhiteIsZero;
        if picture.samples > 1 || picture.bits == 16 {
            let channels = if picture.colours == Colours::Rgb { 3 } else { 1 };
            return Ok(Self::Level { least, white_is_zero, channels });
        }
        let mut table = [false; 256];
        if picture.colours == Colours::Palette {
            let lesion = threshold.of_palette(&picture.palette).ok_or("its palette is empty")?;
            table.iter_mut().zip(lesion).for_each(|(entry, lesion)| *entry = lesion);
        } else {
            for value in 0..=most {
                table[usize::from(value)] = if white_is_zero { most - value >= least } else { value >= least };
            }
        }
        Ok(Self::Table(Box::new(table)))
    }

    fn mark(&self, row: &[u8], picture: &Picture, left: usize, y: usize, mask: &mut Bitmap) {
        let width = picture.block_width.min(picture.width - left);
        match self {
            Self::Table(table) if picture.bits == 1 => {
                // Whole bytes at once: all bits as they are, turned round, all set or none.
                let flip = if table[0] { 0xff } else { 0 };
                let keep = if table[0] == table[1] { 0 } else { 0xff };
                let bits = &row[..width.div_ceil(8)];
                if (keep, flip) == (0xff, 0) {
                    mask.set_bits(left, y, bits);
                } else {
                    mask.set_bits(left, y, &bits.iter().map(|byte| byte & keep ^ flip).collect::<Vec<u8>>());
                }
            }
            Self::Table(table) => {
                for x in 0..width {
                    if table[usize::from(picture.pixel(row, x)[0])] {
                        mask.set(left + x, y);
                    }
                }
            }
            Self::Level { least, white_is_zero, channels } => {
                let most = ((1u32 << picture.bits) - 1) as u16;
                for x in 0..width {
                    let samples = picture.pixel(row, x);
                    let shown = |value: &u16| if *white_is_zero { most - value } else { *value };
                    let seen = picture.samples == *channels || samples[*channels] > 0;
                    if seen && samples[..*channels].iter().any(|value| shown(value) >= *least) {
                        mask.set(left + x, y);
                    }
                }
            }
        }
    }
}

fn palette(file: &File<'_>, bits: usize) -> Result<Vec<Colour>, String> {
    let colours = 1 << bits;
    if file.count(320) < 3 * colours {
        return Err("its palette is missing or too short".to_owned());
    }
    let mut values = Vec::with_capacity(3 * colours);
    for i in 0..3 * colours {
        values.push(file.value(320, i)?.unwrap_or(0));
    }
    // Values are of 16 bits; some writers put 8-bit values there, as libtiff knows.
    let shift = if values.iter().any(|&value| value > 255) { 8 } else { 0 };
    let channel = |c: usize, i: usize| (values[c * colours + i] >> shift).min(255) as u8;
    Ok((0..colours).map(|i| [channel(0, i), channel(1, i), channel(2, i)]).collect())
}

/// `PackBits` (TIFF 6.0, section 9), at most `most` bytes.
fn unpack_bits(raw: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = raw;
    while let [head, tail @ ..] = rest
        && out.len() < most
    {
        let count = usize::from(*head) + 1;
        match (*head, tail) {
            (128, _) => rest = tail,
            (0..128, _) => {
                let literal = &tail[..count.min(tail.len())];
                out.extend_from_slice(literal);
                rest = &tail[literal.len()..];
            }
            (_, [byte, after @ ..]) => {
                out.extend(std::iter::repeat_n(*byte, 258 - count));
                rest = after;
            }
            (_, []) => break,
        }
    }
    out.truncate(most);
    out
}

/// LZW (TIFF 6.0, section 13), at least `most` bytes where there are as many.
fn unpack_lzw(raw: &[u8], most: usize) -> Result<Vec<u8>, String> {
    if raw.starts_with(&[0, 1]) {
        return Err("its LZW is of the kind before TIFF 6; save it again".to_owned());
    }
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut out, mut rest, mut buffer) = (Vec::new(), raw, vec![0; 1 << 16]);
    while out.len() < most {
        let step = decoder.decode_bytes(rest, &mut buffer);
        rest = &rest[step.consumed_in..];
        out.extend_from_slice(&buffer[..step.consumed_out]);
        match step.status {
            Ok(weezl::LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            _ => break,
        }
    }
    Ok(out)
}

/// Deflate with a zlib header, at most `most` bytes; what can be read where it is damaged.
fn inflate(raw: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(most.min(raw.len().saturating_mul(64)));
    // An error shows as too few bytes.
    let _ = flate2::read::ZlibDecoder::new(raw).take(most as u64).read_to_end(&mut out);
    out
}
