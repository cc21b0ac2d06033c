//! The zip files that torch writes, and those that people packed again. They know no tensors.
//!
//! Nothing is allocated on the word of a size: what is unpacked is counted against an allowance that comes from the file's own size.

use std::io::{Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::Refusal;

/// Bytes that any file may unpack to.
const FREE: u64 = 64 << 20;

/// How many times its own size a file may unpack to beyond that. Weights hardly compress; only what is made up does.
const TIMES: u64 = 16;

/// A zip file and how much may still be made of it.
pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    /// What stands before each name: `archive/`.
    root: String,
    allowance: u64,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens a zip file that holds a `data.pkl`.
    ///
    /// # Errors
    /// Where it is damaged or not such a file.
    pub(super) fn open(mut reader: R) -> Result<Self, Refusal> {
        let size = reader.seek(SeekFrom::End(0)).map_err(|error| Refusal::damaged(&error))?;
        let zip = ZipArchive::new(reader)
            .map_err(|error| Refusal::damaged(&format!("it is truncated or damaged: {error}")))?;
        let pickles = |name: &[u8]| name == b"data.pkl" || name.ends_with(b"/data.pkl");
        // torch's lies in the one folder of all; the shortest name is the outermost.
        let root = zip.file_names_raw().filter(|name| pickles(name)).min_by_key(|name| name.len());
        let Some(root) = root else {
            let has = |end: &[u8]| zip.file_names_raw().any(|name| name.ends_with(end));
            return Err(Refusal::foreign(if has(b".npy") {
                "it is a NumPy archive (`.npz`)"
            } else if has(b"archive_format") {
                "it is an exported program (`torch.export`)"
            } else {
                "it is a zip file without `data.pkl`, so `torch.save` did not write it"
            }));
        };
        let root = str::from_utf8(&root[..root.len() - "data.pkl".len()]);
        let root = root.map_err(|_| Refusal::damaged(&"its names are not UTF-8"))?.to_owned();
        Ok(Self { zip, root, allowance: FREE.saturating_add(size.saturating_mul(TIMES)) })
    }

    /// Whether more than one pickle could be the file's.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.zip.file_names_raw().filter(|name| name.ends_with(b"data.pkl")).count() > 1
    }

    /// Whether it is a compiled module: code lies beside the tensors.
    pub(super) fn is_torch_script(&self) -> bool {
        let code = format!("{}code/", self.root);
        self.zip.index_for_name_raw(format!("{}constants.pkl", self.root).as_bytes()).is_some()
            || self.zip.file_names_raw().any(|name| name.starts_with(code.as_bytes()))
    }

    /// Takes `bytes` off what may still be made.
    ///
    /// # Errors
    /// Where that is too much.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), Refusal> {
        let rest = self.allowance.checked_sub(bytes);
        self.allowance = rest.ok_or_else(|| Refusal::foreign("it unpacks to far more than its own size"))?;
        Ok(())
    }

    /// The bytes of a file in it; none where there is no such file.
    ///
    /// # Errors
    /// Where it is damaged, larger than `most`, or more than may still be made.
    pub(super) fn entry(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Refusal> {
        let full = format!("{}{name}", self.root);
        let Some(index) = self.zip.index_for_name_raw(full.as_bytes()) else { return Ok(None) };
        let broken = |why: &dyn std::fmt::Display| Refusal::damaged(&format!("`{name}` in it is damaged: {why}"));
        let (size, crc, packed) = {
            let entry = self.zip.by_index_raw(index).map_err(|error| broken(&error))?;
            if entry.encrypted() {
                return Err(Refusal::foreign("it is encrypted"));
            }
            (entry.size(), entry.crc32(), entry.compression())
        };
        if size > most {
            return Err(Refusal::foreign(&format!("`{name}` in it has {size} bytes; {most} are read at most")));
        }
        self.spend(size)?;
        let entry = self.zip.by_index_raw(index).map_err(|error| broken(&error))?;
        // One byte more than promised is enough to see that there is more.
        let mut bytes = Vec::new();
        let read = match packed {
            CompressionMethod::STORE => entry.take(size + 1).read_to_end(&mut bytes),
            CompressionMethod::DEFLATE => DeflateDecoder::new(entry).take(size + 1).read_to_end(&mut bytes),
            _ => return Err(Refusal::foreign("it is compressed by another method than deflate")),
        };
        read.map_err(|error| broken(&error))?;
        if bytes.len() as u64 != size {
            return Err(broken(&"it has another size than its directory says"));
        }
        let mut found = Crc::new();
        found.update(&bytes);
        // torch writes 0 where it was asked for no checksums.
        if crc != 0 && found.sum() != crc {
            return Err(broken(&"its checksum is another"));
        }
        Ok(Some(bytes))
    }
}
