//! Zip files written by torch, and repacked ones. They know no tensors.
//!
//! Sizes in the file are not trusted: everything that is unpacked counts against an allowance derived from the size of the file.

use std::io::{Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::UnreadableFile;

/// Size that any file may unpack to, bytes.
const FREE: u64 = 64 << 20;

/// Multiple of its own size that a file may unpack to beyond that. Real weights hardly compress.
const TIMES: u64 = 16;

/// Zip file, and how many bytes may still be unpacked from it.
pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    /// Prefix of all names: `archive/`.
    root: String,
    allowance: u64,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens a zip file that contains a `data.pkl`.
    ///
    /// # Errors
    /// If it is damaged or not such a file.
    pub(super) fn open(mut reader: R) -> Result<Self, UnreadableFile> {
        let size = reader.seek(SeekFrom::End(0)).map_err(|error| UnreadableFile::damaged(&error))?;
        let zip = ZipArchive::new(reader)
            .map_err(|error| UnreadableFile::damaged(&format!("it is truncated or damaged: {error}")))?;
        let pickles = |name: &[u8]| name == b"data.pkl" || name.ends_with(b"/data.pkl");
        // torch puts everything into one folder; the shortest name is the outermost.
        let root = zip.file_names_raw().filter(|name| pickles(name)).min_by_key(|name| name.len());
        let Some(root) = root else {
            let has = |end: &[u8]| zip.file_names_raw().any(|name| name.ends_with(end));
            return Err(UnreadableFile::foreign(if has(b".npy") {
                "it is a NumPy archive (`.npz`)"
            } else if has(b"archive_format") {
                "it is an exported program (`torch.export`)"
            } else {
                "it is a zip file without `data.pkl`, so `torch.save` did not write it"
            }));
        };
        let root = str::from_utf8(&root[..root.len() - "data.pkl".len()]);
        let root = root.map_err(|_| UnreadableFile::damaged(&"its names are not UTF-8"))?.to_owned();
        Ok(Self { zip, root, allowance: FREE.saturating_add(size.saturating_mul(TIMES)) })
    }

    /// Whether there is more than one candidate for `data.pkl`.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.zip.file_names_raw().filter(|name| name.ends_with(b"data.pkl")).count() > 1
    }

    /// Whether it is a `TorchScript` module, with code next to the tensors.
    pub(super) fn is_torch_script(&self) -> bool {
        let code = format!("{}code/", self.root);
        self.zip.index_for_name_raw(format!("{}constants.pkl", self.root).as_bytes()).is_some()
            || self.zip.file_names_raw().any(|name| name.starts_with(code.as_bytes()))
    }

    /// Subtracts `bytes` from the allowance.
    ///
    /// # Errors
    /// If the allowance is exceeded.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), UnreadableFile> {
        let rest = self.allowance.checked_sub(bytes);
        self.allowance = rest.ok_or_else(|| UnreadableFile::foreign("it unpacks to far more than its own size"))?;
        Ok(())
    }

    /// Content of a file in it; [`None`] if there is no such file.
    ///
    /// # Errors
    /// If it is damaged, larger than `most`, or exceeds the allowance.
    pub(super) fn entry(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, UnreadableFile> {
        let full = format!("{}{name}", self.root);
        let Some(index) = self.zip.index_for_name_raw(full.as_bytes()) else { return Ok(None) };
        let broken =
            |why: &dyn std::fmt::Display| UnreadableFile::damaged(&format!("`{name}` in it is damaged: {why}"));
        let (size, crc, packed) = {
            let entry = self.zip.by_index_raw(index).map_err(|error| broken(&error))?;
            if entry.encrypted() {
                return Err(UnreadableFile::foreign("it is encrypted"));
            }
            (entry.size(), entry.crc32(), entry.compression())
        };
        if size > most {
            return Err(UnreadableFile::foreign(&format!(
                "`{name}` in it has {size} bytes, more than the limit of {most}"
            )));
        }
        self.spend(size)?;
        let entry = self.zip.by_index_raw(index).map_err(|error| broken(&error))?;
        // One byte more than declared is enough to detect a lie.
        let mut bytes = Vec::new();
        let read = match packed {
            CompressionMethod::STORE => entry.take(size + 1).read_to_end(&mut bytes),
            CompressionMethod::DEFLATE => DeflateDecoder::new(entry).take(size + 1).read_to_end(&mut bytes),
            _ => return Err(UnreadableFile::foreign("it is compressed by a method other than deflate")),
        };
        read.map_err(|error| broken(&error))?;
        if bytes.len() as u64 != size {
            return Err(broken(&"its size differs from that in the directory"));
        }
        let mut found = Crc::new();
        found.update(&bytes);
        // torch writes 0 if checksums are disabled.
        if crc != 0 && found.sum() != crc {
            return Err(broken(&"its checksum does not match"));
        }
        Ok(Some(bytes))
    }
}
