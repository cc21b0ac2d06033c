//! Image file directories of TIFF and `BigTIFF` in either byte order, and of EXIF blocks, which are TIFF, too. Files are untrusted:
//! every offset is checked. References: TIFF 6.0 (Adobe, 1992), EXIF 3.0, and `BigTIFF` as in libtiff.

use std::borrow::Cow;

use crate::data::byte_source::ByteSource;
use crate::data::orientation::Orientation;

/// Largest number of directories read from one file.
pub(super) const MOST_PAGES: usize = 256;

/// A TIFF file with one directory read.
pub(in crate::data) struct TiffFile<'a> {
    source: ByteSource<'a>,
    /// Whether the file is big-endian.
    pub(super) big: bool,
    /// Whether offsets have 8 bytes (`BigTIFF`).
    wide: bool,
    fields: Vec<DirectoryField>,
    /// Offset of the next directory; 0 if there is none.
    next: usize,
}

/// An entry of a directory.
#[derive(Clone, Copy)]
struct DirectoryField {
    tag: u16,
    kind: u16,
    count: usize,
    /// Offset of the value, or of the offset of the value.
    place: usize,
}

impl DirectoryField {
    /// Size of one value, bytes; [`None`] for unknown types.
    const fn size(&self) -> Option<usize> {
        Some(match self.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => return None,
        })
    }
}

impl<'a> TiffFile<'a> {
    /// Reads the first directory.
    ///
    /// # Errors
    /// A short description of what is wrong with the file.
    pub(in crate::data) fn open(source: ByteSource<'a>) -> Result<Self, String> {
        let no_tiff = || "it is not a TIFF".to_owned();
        let big = match source.at(0, 2).as_deref() {
            Some(b"II") => false,
            Some(b"MM") => true,
            _ => return Err(no_tiff()),
        };
        let mut file = Self { source, big, wide: false, fields: Vec::new(), next: 0 };
        let first = match file.short(2)? {
            42 => file.long(4)?,
            43 if file.short(4)? == 8 => {
                file.wide = true;
                file.long_long(8)?
            }
            _ => return Err(no_tiff()),
        };
        file.read(first)?;
        Ok(file)
    }

    /// Replaces the directory by the one at offset `at`.
    fn read(&mut self, at: usize) -> Result<(), String> {
        let outside = || OUTSIDE.to_owned();
        let (count, first, row, value) = if self.wide {
            (self.long_long(at)?, at.checked_add(8).ok_or_else(outside)?, 20, 12)
        } else {
            (self.short(at)?, at.checked_add(2).ok_or_else(outside)?, 12, 8)
        };
        if count > 1 << 16 {
            return Err(outside());
        }
        let end = count.checked_mul(row).and_then(|rows| first.checked_add(rows)).ok_or_else(outside)?;
        let mut fields = Vec::new();
        for at in (0..count).map(|i| first + row * i) {
            let (tag, kind) = (self.short(at)? as u16, self.short(at + 2)? as u16);
            let count = if self.wide { self.long_long(at + 4)? } else { self.long(at + 4)? };
            fields.push(DirectoryField { tag, kind, count, place: at + value });
        }
        self.fields = fields;
        // Files may end right after their only directory.
        self.next = if self.wide { self.long_long(end) } else { self.long(end) }.unwrap_or(0);
        Ok(())
    }

    pub(super) fn slice(&self, from: usize, len: usize) -> Result<Cow<'a, [u8]>, String> {
        self.source.at(from, len).ok_or_else(|| OUTSIDE.to_owned())
    }

    /// Size of the file, bytes.
    pub(super) const fn size(&self) -> usize {
        self.source.size()
    }

    fn short(&self, at: usize) -> Result<usize, String> {
        let bytes = self.array(at)?;
        Ok(usize::from(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }))
    }

    fn long(&self, at: usize) -> Result<usize, String> {
        let bytes = self.array(at)?;
        Ok(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) } as usize)
    }

    fn long_long(&self, at: usize) -> Result<usize, String> {
        let bytes = self.array(at)?;
        let value = if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) };
        usize::try_from(value).map_err(|_| OUTSIDE.to_owned())
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], String> {
        Ok(*self.slice(at, N)?.as_array().expect("as many bytes as requested"))
    }

    fn field(&self, tag: u16) -> Option<DirectoryField> {
        self.fields.iter().find(|field| field.tag == tag).copied()
    }

    /// Number of values of a field; 0 if missing.
    pub(super) fn count(&self, tag: u16) -> usize {
        self.field(tag).map_or(0, |field| field.count)
    }

    /// Offset of value `index` of a field.
    fn place(&self, field: DirectoryField, size: usize, index: usize) -> Result<usize, String> {
        if index >= field.count {
            return Err(format!("field {} has only {} values", field.tag, field.count));
        }
        let room = if self.wide { 8 } else { 4 };
        let inside = size.checked_mul(field.count).is_some_and(|bytes| bytes <= room);
        let start = match (inside, self.wide) {
            (true, _) => field.place,
            (false, true) => self.long_long(field.place)?,
            (false, false) => self.long(field.place)?,
        };
        Ok(index.checked_mul(size).and_then(|offset| start.checked_add(offset)).unwrap_or(usize::MAX))
    }

    /// Value `index` of an integer field; [`None`] if the field is missing.
    pub(super) fn value(&self, tag: u16, index: usize) -> Result<Option<usize>, String> {
        let Some(field) = self.field(tag) else { return Ok(None) };
        let (true, Some(size)) = (matches!(field.kind, 1 | 3 | 4 | 13 | 16 | 18), field.size()) else {
            return Err(format!("field {tag} is not an integer"));
        };
        let at = self.place(field, size, index)?;
        Ok(Some(match size {
            1 => usize::from(self.slice(at, 1)?[0]),
            2 => self.short(at)?,
            4 => self.long(at)?,
            _ => self.long_long(at)?,
        }))
    }

    /// The first value of an integer field, or `default` if the field is missing.
    pub(super) fn one(&self, tag: u16, default: usize) -> Result<usize, String> {
        Ok(self.value(tag, 0)?.unwrap_or(default))
    }

    /// Value `index` of a field of any numeric type; [`None`] if there is none.
    pub(in crate::data) fn number(&self, tag: u16, index: usize) -> Option<f64> {
        let field = self.field(tag)?;
        let at = self.place(field, field.size()?, index).ok()?;
        let long = |at: usize| self.long(at).ok().map(|value| value as u32);
        Some(match field.kind {
            1 => f64::from(self.slice(at, 1).ok()?[0]),
            6 => f64::from(self.slice(at, 1).ok()?[0].cast_signed()),
            3 => self.short(at).ok()? as f64,
            8 => f64::from((self.short(at).ok()? as u16).cast_signed()),
            4 | 13 => f64::from(long(at)?),
            9 => f64::from(long(at)?.cast_signed()),
            5 => f64::from(long(at)?) / f64::from(long(at + 4)?),
            10 => f64::from(long(at)?.cast_signed()) / f64::from(long(at + 4)?.cast_signed()),
            11 => f64::from(f32::from_bits(long(at)?)),
            12 => f64::from_bits(self.long_long(at).ok()? as u64),
            16 | 18 => self.long_long(at).ok()? as f64,
            17 => (self.long_long(at).ok()? as u64).cast_signed() as f64,
            _ => return None,
        })
    }

    /// The bytes of a field of bytes, if there are at most so many; [`None`] if the field is missing.
    pub(super) fn bytes(&self, tag: u16, most: usize) -> Result<Option<Vec<u8>>, String> {
        let Some(field) = self.field(tag) else { return Ok(None) };
        if field.size() != Some(1) || field.count > most {
            return Err(format!("field {tag} has {} values", field.count));
        }
        Ok(Some(self.slice(self.place(field, 1, 0)?, field.count)?.into_owned()))
    }

    /// The text of a field, at most so much of it; empty if there is none.
    pub(super) fn text(&self, tag: u16, most: usize) -> String {
        let text = || {
            let field = self.field(tag).filter(|field| field.size() == Some(1) && field.count > 0)?;
            self.slice(self.place(field, 1, 0).ok()?, field.count.min(most)).ok()
        };
        text().map_or_else(String::new, |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The directory at an offset.
    pub(super) fn directory(&self, at: usize) -> Result<Self, String> {
        let mut other = Self { fields: Vec::new(), ..*self };
        other.read(at)?;
        Ok(other)
    }

    /// Offset of the next directory; 0 if there is none.
    pub(super) const fn next(&self) -> usize {
        self.next
    }

    /// Orientation of the directory's image (tag 274, or else its XMP).
    pub(in crate::data) fn orientation(&self) -> Orientation {
        let xmp = || {
            let field = self.field(700).filter(|field| matches!(field.kind, 1 | 7))?;
            let packet = self.slice(self.place(field, 1, 0).ok()?, field.count).ok()?;
            Orientation::of_xmp(&packet)
        };
        self.stated().or_else(xmp).unwrap_or_default()
    }

    /// Orientation by tag 274; [`None`] if missing.
    fn stated(&self) -> Option<Orientation> {
        self.number(274, 0).map(Orientation::of)
    }

    /// Orientation in an EXIF block; [`None`] if missing or unreadable.
    pub(in crate::data) fn of_exif(block: &[u8]) -> Option<Orientation> {
        // Some writers keep the prefix that the block has in a JPEG.
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        TiffFile::open(ByteSource::Memory(block)).ok()?.stated()
    }

    /// Whether an EXIF block says that colours are Adobe RGB: by a number of its own, or as cameras do by their file's kind (R03, DCF 2.0).
    pub(in crate::data) fn is_adobe_rgb(block: &[u8]) -> bool {
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        let below = |tag: u16, file: &mut TiffFile<'_>| {
            let at = file.number(tag, 0)? as usize;
            file.read(at).ok()
        };
        let stated = || {
            let mut file = TiffFile::open(ByteSource::Memory(block)).ok()?;
            below(34665, &mut file)?;
            let space = file.number(40961, 0)?;
            if space != 65535.0 {
                return Some(space == 2.0);
            }
            below(40965, &mut file)?;
            let field = file.field(1).filter(|field| field.kind == 2 && field.count == 4)?;
            Some(*file.slice(field.place, 3).ok()? == *b"R03")
        };
        stated().unwrap_or(false)
    }

    /// Whether the directory holds an image of its own, not a reduced copy or a transparency mask.
    pub(super) fn own(&self) -> bool {
        let kind = self.number(254, 0).unwrap_or(0.0) as u32;
        kind & 0b101 == 0 && self.number(255, 0) != Some(2.0)
    }

    /// Rejects a file with several pages. Reduced copies of the first one do not count.
    ///
    /// # Errors
    /// A short description with the number of pages.
    pub(in crate::data) fn one_page(&self) -> Result<(), String> {
        let side = |file: &Self, tag| file.number(tag, 0).unwrap_or(0.0);
        let (width, height) = (side(self, 256), side(self, 257));
        let mut page = Self { fields: Vec::new(), ..*self };
        let mut pages = 1;
        for _ in 0..MOST_PAGES {
            // An unreadable directory holds no image.
            if page.next == 0 || page.read(page.next).is_err() {
                break;
            }
            let smaller = side(&page, 256) < width && side(&page, 257) < height;
            pages += usize::from(page.own() && !smaller);
        }
        if !self.own() && (pages > 1 || self.count(330) > 0) {
            return Err("its first page is a reduced copy of another".to_owned());
        }
        if pages > 1 {
            return Err(format!("it has {pages} pages; save the intended page as a file of its own"));
        }
        Ok(())
    }
}

pub(super) const OUTSIDE: &str = "it is truncated, or has offsets beyond its end";
