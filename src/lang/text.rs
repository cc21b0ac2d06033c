//! The text of a file, whatever it holds.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use crate::base::regular;
use crate::syntax::LARGEST;

/// Reads a text file. Of one that is too large only its size is given, as blanks: nothing else will be spoken of.
///
/// # Errors
/// Where it can't be read, or is not UTF-8: then the error says where, and what to do.
pub(crate) fn read(file: &Path) -> Result<String> {
    let size = usize::try_from(regular::open(file)?.metadata()?.len()).unwrap_or(usize::MAX);
    if size > LARGEST {
        return Ok(" ".repeat(size.min(64 << 20)));
    }
    decoded(regular::read(file)?).map_err(|text| Error::new(ErrorKind::InvalidData, text))
}

/// The text that bytes are; else where they are no UTF-8, and what to do.
pub(super) fn decoded(bytes: Vec<u8>) -> std::result::Result<String, String> {
    String::from_utf8(bytes).map_err(|error| foreign(error.as_bytes(), error.utf8_error().valid_up_to()))
}

/// What is said of bytes that are no UTF-8 from `at` on.
fn foreign(bytes: &[u8], at: usize) -> String {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return "it is UTF-16; save it as UTF-8".to_owned();
    }
    let line = bytes[..at].split(|&byte| byte == b'\n').count();
    format!("line {line} holds the byte 0x{:02x}, which is not UTF-8; save the file as UTF-8", bytes[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_another_encoding_are_told_with_their_line() {
        assert_eq!(
            foreign(b"a\n\xc3\xa9\r\ncaf\xe9\n", 9),
            "line 3 holds the byte 0xe9, which is not UTF-8; save the file as UTF-8"
        );
        assert_eq!(foreign(b"\xff\xfea\0", 0), "it is UTF-16; save it as UTF-8");
    }
}
