//! Reading text files.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;

use crate::base::regular;
use crate::syntax::{self, LARGEST};

/// Reads a text file. For one that is too large, spaces of the same length are returned: only its size will be reported.
///
/// # Errors
/// If it cannot be read or is not UTF-8; the error then says where, and what to do.
pub(crate) fn read(file: &Path) -> Result<String> {
    let size = usize::try_from(regular::open(file)?.metadata()?.len()).unwrap_or(usize::MAX);
    if size > LARGEST {
        return Ok(" ".repeat(size.min(64 << 20)));
    }
    decoded(regular::read(file)?).map_err(|text| Error::new(ErrorKind::InvalidData, text))
}

/// The bytes as text; an error with position and remedy if they are not UTF-8.
///
/// # Errors
/// The message.
pub fn decoded(bytes: Vec<u8>) -> std::result::Result<String, String> {
    String::from_utf8(bytes).map_err(|error| foreign(error.as_bytes(), error.utf8_error().valid_up_to()))
}

/// The message for bytes that are not UTF-8 from `at` on.
fn foreign(bytes: &[u8], at: usize) -> String {
    if let Some(format) = syntax::other_format(bytes) {
        return format!("it is {format}, not KDL");
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return "it is UTF-16; save it as UTF-8".to_owned();
    }
    let line = bytes[..at].split(|&byte| byte == b'\n').count();
    format!("line {line} contains byte 0x{:02x}, which is not valid UTF-8; save the file as UTF-8", bytes[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_another_encoding_are_reported_with_their_line() {
        assert_eq!(
            foreign(b"a\n\xc3\xa9\r\ncaf\xe9\n", 9),
            "line 3 contains byte 0xe9, which is not valid UTF-8; save the file as UTF-8"
        );
        assert_eq!(foreign(b"\xff\xfea\0", 0), "it is UTF-16; save it as UTF-8");
    }
}
