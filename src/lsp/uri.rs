//! File URIs. Editors spell them differently, so they are compared as paths.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Path of a `file:` URI; [`None`] for a text without a file (`untitled:`).
pub(super) fn path(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    // A URI may contain a host; only files of this machine can be read.
    let at = rest.find('/')?;
    let host = &rest[..at];
    if !(host.is_empty() || host == "localhost") {
        return None;
    }
    decoded(&rest[at..]).map(PathBuf::from)
}

fn decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).ok()
}

/// URI of a file.
pub(super) fn of(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_whatever_it_holds() {
        let file = Path::new("/daten/größe 100%.kdl");
        assert_eq!(of(file), "file:///daten/gr%C3%B6%C3%9Fe%20100%25.kdl");
        assert_eq!(path(&of(file)).as_deref(), Some(file));
        assert_eq!(path("file:///a%zz").as_deref(), Some(Path::new("/a%zz")));
    }

    #[test]
    fn only_local_files_have_a_path() {
        assert_eq!(path("untitled:Untitled-1"), None);
        assert_eq!(path("file://elsewhere/a.kdl"), None);
    }
}
