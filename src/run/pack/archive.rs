//! The container of packs: a zip archive whose entries are stored, not compressed. Knows no results.
//!
//! The reader accepts nothing but what the writer writes: entries one after the other without gaps, each described twice in
//! the same words. So the bytes that an entry claims exist, and two programs cannot read the same archive differently.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::Crc;

/// Most entries of an archive.
const MOST_ENTRIES: u64 = 1_000_000;

/// Most bytes of the names of all entries.
const MOST_NAMES: u64 = 128 << 20;

/// Longest name of an entry, bytes.
const LONGEST_NAME: usize = 4096;

/// Bytes per copy step.
const PIECE: usize = 1 << 18;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// Sizes and places from here on are written with 8 bytes.
const MANY: u64 = 0xffff_ffff;

/// Names are UTF-8.
const UTF8: u16 = 1 << 11;

/// 1980-01-01, the first date of the format: an archive has no times.
const DATE: u16 = 0x21;

/// Version of the format that is needed: with and without sizes of 8 bytes.
const VERSIONS: (u16, u16) = (10, 45);

/// A regular file that everybody may read.
const MODE: u32 = 0o100_644 << 16;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArchiveEntry {
    /// Its name: a relative path with `/`.
    pub(super) name: String,
    /// Its length, bytes.
    pub(super) size: u64,
    crc: u32,
    /// Where its local header begins.
    at: u64,
}

impl ArchiveEntry {
    fn is_large(&self) -> bool {
        self.size >= MANY
    }

    fn is_far(&self) -> bool {
        self.at >= MANY
    }

    /// The header before its bytes.
    fn local(&self) -> Vec<u8> {
        let mut header = Vec::new();
        let size = if self.is_large() { MANY } else { self.size } as u32;
        put32(&mut header, LOCAL);
        put16(&mut header, if self.is_large() { VERSIONS.1 } else { VERSIONS.0 });
        for field in [UTF8, 0, 0, DATE] {
            put16(&mut header, field);
        }
        for field in [self.crc, size, size] {
            put32(&mut header, field);
        }
        put16(&mut header, self.name.len() as u16);
        put16(&mut header, if self.is_large() { 20 } else { 0 });
        header.extend_from_slice(self.name.as_bytes());
        if self.is_large() {
            put16(&mut header, 1);
            put16(&mut header, 16);
            put64(&mut header, self.size);
            put64(&mut header, self.size);
        }
        header
    }

    /// Its description at the end of the archive.
    fn central(&self) -> Vec<u8> {
        let mut extra = Vec::new();
        if self.is_large() {
            put64(&mut extra, self.size);
            put64(&mut extra, self.size);
        }
        if self.is_far() {
            put64(&mut extra, self.at);
        }
        let size = if self.is_large() { MANY } else { self.size } as u32;
        let mut header = Vec::new();
        put32(&mut header, CENTRAL);
        put16(&mut header, (3 << 8) | VERSIONS.1);
        put16(&mut header, if extra.is_empty() { VERSIONS.0 } else { VERSIONS.1 });
        for field in [UTF8, 0, 0, DATE] {
            put16(&mut header, field);
        }
        for field in [self.crc, size, size] {
            put32(&mut header, field);
        }
        put16(&mut header, self.name.len() as u16);
        put16(&mut header, if extra.is_empty() { 0 } else { extra.len() as u16 + 4 });
        for field in [0, 0, 0] {
            put16(&mut header, field);
        }
        put32(&mut header, MODE);
        put32(&mut header, if self.is_far() { MANY } else { self.at } as u32);
        header.extend_from_slice(self.name.as_bytes());
        if !extra.is_empty() {
            put16(&mut header, 1);
            put16(&mut header, extra.len() as u16);
            header.extend_from_slice(&extra);
        }
        header
    }
}

fn put16(to: &mut Vec<u8>, value: u16) {
    to.extend_from_slice(&value.to_le_bytes());
}

fn put32(to: &mut Vec<u8>, value: u32) {
    to.extend_from_slice(&value.to_le_bytes());
}

fn put64(to: &mut Vec<u8>, value: u64) {
    to.extend_from_slice(&value.to_le_bytes());
}

/// The end of an archive with so many entries, whose descriptions take `size` bytes from `at` on.
fn end(entries: u64, size: u64, at: u64) -> Vec<u8> {
    let mut end = Vec::new();
    let large = entries >= 0xffff || size >= MANY || at >= MANY;
    if large {
        put32(&mut end, END_64);
        put64(&mut end, 44);
        put16(&mut end, (3 << 8) | VERSIONS.1);
        put16(&mut end, VERSIONS.1);
        put32(&mut end, 0);
        put32(&mut end, 0);
        for field in [entries, entries, size, at] {
            put64(&mut end, field);
        }
        put32(&mut end, LOCATOR_64);
        put32(&mut end, 0);
        put64(&mut end, at + size);
        put32(&mut end, 1);
    }
    put32(&mut end, END);
    put16(&mut end, 0);
    put16(&mut end, 0);
    let count = if large { 0xffff } else { entries as u16 };
    put16(&mut end, count);
    put16(&mut end, count);
    put32(&mut end, if large { MANY } else { size } as u32);
    put32(&mut end, if large { MANY } else { at } as u32);
    put16(&mut end, 0);
    end
}

/// Writes an archive. The same entries in the same order give the same bytes.
pub(super) struct ArchiveWriter {
    file: BufWriter<File>,
    at: u64,
    entries: Vec<ArchiveEntry>,
}

impl ArchiveWriter {
    /// A writer to an empty file.
    #[must_use]
    pub(super) fn new(file: File) -> Self {
        Self { file: BufWriter::with_capacity(PIECE, file), at: 0, entries: Vec::new() }
    }

    /// Adds an entry of `size` bytes from `from`. `each` sees its bytes.
    ///
    /// # Errors
    /// The system's error; [`io::ErrorKind::InvalidData`] if `from` does not have exactly `size` bytes.
    pub(super) fn add(
        &mut self,
        name: &str,
        size: u64,
        from: &mut dyn Read,
        each: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut entry = ArchiveEntry { name: name.to_owned(), size, crc: 0, at: self.at };
        self.file.write_all(&entry.local())?;
        let (mut crc, mut copied, mut piece) = (Crc::new(), 0_u64, vec![0; PIECE]);
        loop {
            let read = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            crc.update(&piece[..read]);
            each(&piece[..read]);
            self.file.write_all(&piece[..read])?;
            copied += read as u64;
        }
        if copied != size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file changed while it was packed"));
        }
        entry.crc = crc.sum();
        let header = entry.local();
        let after = self.at + header.len() as u64 + size;
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.write_all(&header)?;
        self.file.seek(SeekFrom::Start(after))?;
        self.at = after;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes the descriptions of all entries, and returns the file.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn finish(mut self) -> io::Result<File> {
        let mut size = 0;
        for entry in &self.entries {
            let header = entry.central();
            size += header.len() as u64;
            self.file.write_all(&header)?;
        }
        self.file.write_all(&end(self.entries.len() as u64, size, self.at))?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Why a file is not an archive that this macula wrote.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadArchive {
    /// Its structure or a name is not as the writer writes it.
    #[error("{0}")]
    Malformed(String),
    /// The system's error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn malformed<T>(text: impl Into<String>) -> Result<T, BadArchive> {
    Err(BadArchive::Malformed(text.into()))
}

/// An archive that was checked as a whole: structure, sizes and names, not the bytes of its entries.
#[derive(Debug)]
pub(super) struct PackArchive {
    file: File,
    entries: Vec<ArchiveEntry>,
}

impl PackArchive {
    /// Opens an archive.
    ///
    /// # Errors
    /// [`BadArchive`].
    pub(super) fn open(path: &Path) -> Result<Self, BadArchive> {
        let file = crate::base::regular::open(path)?;
        let length = file.metadata()?.len();
        let (count, size, at) = Self::find_end(&file, length)?;
        if count > MOST_ENTRIES || size > MOST_NAMES {
            return malformed(format!("it has more than {MOST_ENTRIES} files"));
        }
        let mut directory = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut directory, at)?;
        let mut rest = directory.as_slice();
        let mut entries = Vec::new();
        let mut next = 0;
        for _ in 0..count {
            let entry = central(&mut rest)?;
            if entry.at != next {
                return malformed(format!("`{}` overlaps another file, or lies apart from it", shown(&entry.name)));
            }
            let header = entry.local();
            let mut written = vec![0; header.len()];
            let data = entry.at.checked_add(header.len() as u64);
            let after = data.and_then(|data| data.checked_add(entry.size)).filter(|after| *after <= at);
            let Some(after) = after else {
                return malformed(format!("`{}` is cut off", shown(&entry.name)));
            };
            file.read_exact_at(&mut written, entry.at)?;
            if written != header {
                return malformed(format!("`{}` is described in two different ways", shown(&entry.name)));
            }
            next = after;
            entries.push(entry);
        }
        if !rest.is_empty() || next != at {
            return malformed("it has bytes that belong to no file");
        }
        check_names(&entries)?;
        Ok(Self { file, entries })
    }

    /// Number of entries, and size and place of their descriptions.
    fn find_end(file: &File, length: u64) -> Result<(u64, u64, u64), BadArchive> {
        const SHORT: u64 = 22;
        const LONG: u64 = 22 + 20 + 56;
        let tail = |size: u64| -> Result<Vec<u8>, BadArchive> {
            let mut bytes = vec![0; size as usize];
            file.read_exact_at(&mut bytes, length - size)?;
            Ok(bytes)
        };
        if length < SHORT {
            return malformed("it is not a zip archive");
        }
        let last = tail(SHORT)?;
        if number(&last[..4]) != u64::from(END) {
            return malformed("it is not a zip archive, or it is cut off");
        }
        let (mut count, mut size, mut at) = (number(&last[10..12]), number(&last[12..16]), number(&last[16..20]));
        let mut expected = SHORT;
        if count == 0xffff {
            if length < LONG {
                return malformed("it is cut off");
            }
            let long = tail(LONG)?;
            (count, size, at) = (number(&long[32..40]), number(&long[40..48]), number(&long[48..56]));
            expected = LONG;
        }
        // Everything else about it follows from these three numbers.
        if at.checked_add(size).and_then(|end| end.checked_add(expected)) != Some(length)
            || end(count, size, at) != tail(expected)?
        {
            return malformed(
                "it is not as `macula pack` writes it: it is damaged, cut off, or was changed by another program",
            );
        }
        Ok((count, size, at))
    }

    /// Its entries, in the order of the file.
    #[must_use]
    pub(super) fn entries(&self) -> &[ArchiveEntry] {
        &self.entries
    }

    /// Passes the bytes of an entry on in pieces, and checks that they have its checksum.
    ///
    /// # Errors
    /// [`BadArchive`], or an error of `each`.
    pub(super) fn read<E: From<BadArchive>>(
        &self,
        entry: &ArchiveEntry,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut at, mut left) = (entry.at + entry.local().len() as u64, entry.size);
        let (mut crc, mut piece) = (Crc::new(), vec![0; PIECE.min(usize::try_from(entry.size).unwrap_or(PIECE))]);
        while left > 0 {
            let size = piece.len().min(usize::try_from(left).unwrap_or(PIECE));
            self.file.read_exact_at(&mut piece[..size], at).map_err(BadArchive::from)?;
            crc.update(&piece[..size]);
            each(&piece[..size])?;
            at += size as u64;
            left -= size as u64;
        }
        if crc.sum() == entry.crc {
            return Ok(());
        }
        Err(BadArchive::Malformed(format!("`{}` is damaged: its checksum is another one", shown(&entry.name))).into())
    }

    /// The bytes of an entry of at most `most` bytes.
    ///
    /// # Errors
    /// [`BadArchive`].
    pub(super) fn bytes(&self, entry: &ArchiveEntry, most: u64) -> Result<Vec<u8>, BadArchive> {
        if entry.size > most {
            return malformed(format!("`{}` is larger than {most} bytes", shown(&entry.name)));
        }
        let mut bytes = Vec::new();
        self.read(entry, |piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), BadArchive>(())
        })?;
        Ok(bytes)
    }
}

fn shown(name: &str) -> String {
    crate::base::shown::line(name).into_owned()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Takes an entry's description off the front.
fn central(rest: &mut &[u8]) -> Result<ArchiveEntry, BadArchive> {
    const FIXED: usize = 46;
    let cut_off = || BadArchive::Malformed("its list of files is cut off".to_owned());
    let (fixed, after) = rest.split_at_checked(FIXED).ok_or_else(cut_off)?;
    let field = |at: usize, size: usize| number(&fixed[at..at + size]);
    let (name, after) = after.split_at_checked(field(28, 2) as usize).ok_or_else(cut_off)?;
    let (extra, after) = after.split_at_checked(field(30, 2) as usize).ok_or_else(cut_off)?;
    let Ok(name) = std::str::from_utf8(name) else { return malformed("a file name is not UTF-8") };
    let (crc, mut size, mut at) = (field(16, 4) as u32, field(20, 4), field(42, 4));
    let mut wide = extra.get(4..).unwrap_or_default().chunks_exact(8);
    if size == MANY {
        size = wide.next().map(number).ok_or_else(cut_off)?;
        wide.next();
    }
    if at == MANY {
        at = wide.next().map(number).ok_or_else(cut_off)?;
    }
    let entry = ArchiveEntry { name: name.to_owned(), size, crc, at };
    let header = entry.central();
    // Compression, encryption, other times, comments, links, sizes that contradict each other: nothing the writer writes.
    if rest.get(..header.len()) != Some(&header) || header.len() != FIXED + name.len() + extra.len() {
        return malformed(format!(
            "`{}` is compressed, encrypted, a link, or otherwise not as `macula pack` writes it",
            shown(name)
        ));
    }
    *rest = after;
    Ok(entry)
}

/// Rejects names that lead elsewhere, that a terminal or another system would take for something else, and that mean the
/// same file where case is ignored.
fn check_names(entries: &[ArchiveEntry]) -> Result<(), BadArchive> {
    let (mut files, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        if let Some(why) = unsafe_name(&entry.name) {
            return malformed(format!("the file name `{}` {why}", shown(&entry.name)));
        }
        let folded = folded(&entry.name);
        let above = Path::new(&folded).ancestors().skip(1).map(Path::to_owned);
        folders.extend(above.filter(|folder| folder != Path::new("")));
        if !files.insert(PathBuf::from(folded)) {
            return malformed(format!("there are two files named `{}`, or names that differ only in case", entry.name));
        }
    }
    match files.intersection(&folders).next() {
        None => Ok(()),
        Some(both) => malformed(format!("`{}` is a file and a folder", shown(&both.to_string_lossy()))),
    }
}

/// The form of a name under which file systems that ignore case look it up.
pub(super) fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// Why a name must not become a path; [`None`] if it may.
pub(super) fn unsafe_name(name: &str) -> Option<&'static str> {
    if name.len() > LONGEST_NAME || name.split('/').any(|part| part.len() > 255) {
        return Some("is too long");
    }
    if name.chars().any(|c| crate::base::shown::acts(c) || c == '\\') {
        return Some("contains a control character or a backslash");
    }
    let is_bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.ends_with(['.', ' ']);
    name.split('/').any(is_bad).then_some("does not stay below the folder")
}
