//! Framing of `TensorBoard`'s files (`TFRecord`): each record with its length, both with masked CRC-32C checksums.

use std::io::{self, Write};

use crc_fast::{CrcAlgorithm, checksum};

/// Checksum as the format stores it: rotated, so that a checksum of checksums is not weak.
fn masked(bytes: &[u8]) -> u32 {
    (checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Appends a record, in one write.
///
/// # Errors
/// The system's error.
pub fn append(file: &mut impl Write, record: &[u8]) -> io::Result<()> {
    let length = (record.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(record.len() + 16);
    bytes.extend(length);
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(record);
    bytes.extend(masked(record).to_le_bytes());
    file.write_all(&bytes)
}

/// The records of a file, up to the first that is damaged or incomplete, as a killed process leaves it.
#[must_use]
pub fn whole(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some((record, rest)) = first(bytes) {
        records.push(record);
        bytes = rest;
    }
    records
}

fn first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, bytes) = bytes.split_first_chunk::<8>()?;
    let (checked, bytes) = bytes.split_first_chunk::<4>()?;
    let (record, bytes) = bytes.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (sum, bytes) = bytes.split_first_chunk::<4>()?;
    let sound = u32::from_le_bytes(*checked) == masked(length) && u32::from_le_bytes(*sum) == masked(record);
    sound.then_some((record, bytes))
}

#[test]
fn checksums_are_those_of_the_format() {
    // From TensorFlow's `crc32c_test.cc`: the CRC-32C of 32 zero bytes is 0x8a9136aa.
    assert_eq!(checksum(CrcAlgorithm::Crc32Iscsi, &[0; 32]), 0x8a91_36aa);
    let mut file = Vec::new();
    append(&mut file, b"one").expect("written");
    append(&mut file, b"").expect("written");
    assert_eq!(whole(&file), [b"one".as_slice(), b""]);
    // Torn and damaged records end the file.
    assert_eq!(whole(&file[..file.len() - 1]), [b"one".as_slice()]);
    let mut damaged = file.clone();
    damaged[12] ^= 1;
    assert!(whole(&damaged).is_empty());
}
