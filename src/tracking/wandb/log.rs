//! Framing of run files: `LevelDB`'s log in blocks of 32 KiB, after a head of seven bytes.

use std::io::{self, Write};

use crc_fast::{CrcAlgorithm, checksum};

/// Head of a file: its magic words and version 0.
const HEAD: [u8; 7] = *b":W&B\xe1\xbe\x00";

const BLOCK: usize = 32 << 10;

/// Bytes before each piece of a record: checksum, length, type.
const PIECE: usize = 7;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Writer of a run file.
#[derive(Debug)]
pub struct LogWriter<W> {
    to: W,
    /// Bytes written so far.
    written: usize,
}

impl<W: Write> LogWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// The system's error.
    pub fn new(mut to: W) -> io::Result<Self> {
        to.write_all(&HEAD)?;
        Ok(Self { to, written: HEAD.len() })
    }

    /// Appends a record, in one write.
    ///
    /// # Errors
    /// The system's error.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(record.len() + PIECE);
        let mut rest = record;
        let mut first = true;
        loop {
            let mut room = BLOCK - (self.written + bytes.len()) % BLOCK;
            if room < PIECE {
                bytes.resize(bytes.len() + room, 0);
                room = BLOCK;
            }
            let piece;
            (piece, rest) = rest.split_at(rest.len().min(room - PIECE));
            let kind = match (first, rest.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            bytes.extend(sum(kind, piece).to_le_bytes());
            bytes.extend((piece.len() as u16).to_le_bytes());
            bytes.push(kind);
            bytes.extend(piece);
            first = false;
            if rest.is_empty() {
                break;
            }
        }
        self.to.write_all(&bytes)?;
        self.written += bytes.len();
        Ok(())
    }

    /// The file.
    pub fn into_inner(self) -> W {
        self.to
    }
}

/// Checksum of a piece: of its type, then its bytes.
fn sum(kind: u8, piece: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32IsoHdlc, &[&[kind], piece].concat()) as u32
}

/// The records of a file, up to the first that is damaged or incomplete, as a killed process leaves it.
#[must_use]
pub fn whole(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    if !bytes.starts_with(&HEAD) {
        return records;
    }
    let mut at = HEAD.len();
    let mut record = Vec::new();
    loop {
        let room = BLOCK - at % BLOCK;
        if room < PIECE {
            at += room;
            continue;
        }
        let Some(([a, b, c, d, low, high, kind], rest)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk) else {
            return records;
        };
        let Some(piece) = rest.get(..usize::from(u16::from_le_bytes([*low, *high]))) else { return records };
        if sum(*kind, piece) != u32::from_le_bytes([*a, *b, *c, *d]) || !(FULL..=LAST).contains(kind) {
            return records;
        }
        record.extend(piece);
        if matches!(*kind, FULL | LAST) {
            records.push(std::mem::take(&mut record));
        }
        at += PIECE + piece.len();
    }
}

#[test]
fn records_of_any_length_are_read_as_they_were_written() {
    let records: Vec<Vec<u8>> =
        [0, 1, 100, 32_000, 600, 40_000, 7, 100_000, 32_754, 32_761, 3].map(|length| vec![7_u8; length]).into();
    let mut writer = LogWriter::new(Vec::new()).expect("written");
    for record in &records {
        writer.append(record).expect("written");
    }
    let bytes = writer.into_inner();
    assert_eq!(whole(&bytes), records);
    assert_eq!(whole(&bytes[..bytes.len() - 1]).len(), records.len() - 1);
    assert!(whole(b"no run").is_empty());
}
