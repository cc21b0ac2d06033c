//! File URIs. Editors spell them differently, so they are compared as paths.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Bytes of a path that a URI spells as `%XX`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Path of a `file:` URI; [`None`] for a text without a file (`untitled:`).
pub(super) fn path(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    // A URI may contain a host; only files of this machine can be read.
    let at = rest.find('/')?;
    let host = &rest[..at];
    if !(host.is_empty() || host == "localhost") {
        return None;
    }
    percent_decode_str(&rest[at..]).decode_utf8().ok().map(|path| PathBuf::from(path.as_ref()))
}

/// URI of a file.
pub(super) fn of(path: &Path) -> String {
    format!("file://{}", utf8_percent_encode(&path.to_string_lossy(), ENCODED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_whatever_it_holds() {
        let file = Path::new("/daten/größe 100%.kdl");
        assert_eq!(of(file), "file:///daten/gr%C3%B6%C3%9Fe%20100%25.kdl");
        assert_eq!(path(&of(file)).as_deref(), Some(file));
        let odd = Path::new("/a+b &c;#?[d]~e_f-g.h'(i)\u{7f}");
        assert_eq!(of(odd), "file:///a%2Bb%20%26c%3B%23%3F%5Bd%5D~e_f-g.h%27%28i%29%7F");
        assert_eq!(path(&of(odd)).as_deref(), Some(odd));
        assert_eq!(path("file:///gr%c3%b6%C3%9Fe").as_deref(), Some(Path::new("/größe")));
        for unchanged in ["/a%zz", "/a%", "/a%4", "/a%+f"] {
            assert_eq!(path(&format!("file://{unchanged}")).as_deref(), Some(Path::new(unchanged)));
        }
        assert_eq!(path("file:///a%ff"), None, "not UTF-8");
    }

    #[test]
    fn only_local_files_have_a_path() {
        assert_eq!(path("untitled:Untitled-1"), None);
        assert_eq!(path("file://elsewhere/a.kdl"), None);
    }
}
