//! Path patterns such as `photographs/*/*.jpg`: `*` matches any text without `/`. Case and Unicode normalisation are ignored.

use std::borrow::Cow;

use super::name_normalisation::{folded, name_and_extension, nfc};
use crate::stage::StageError;

/// A pattern for paths below a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern<'a> {
    text: &'a str,
    /// Text between the stars, as written and in NFC.
    pieces: Vec<String>,
    composed: Vec<String>,
}

impl<'a> Pattern<'a> {
    /// A pattern as the user wrote it; [`None`] if it has no `*`.
    #[must_use]
    pub fn new(text: &'a str) -> Option<Self> {
        let plain = text.trim_start_matches("./");
        let pieces = |text: &str| text.split('*').map(folded).collect::<Vec<_>>();
        let found = Self { text, pieces: pieces(plain), composed: pieces(&nfc(plain)) };
        (found.pieces.len() > 1).then_some(found)
    }

    /// The pattern of parameter `field`.
    ///
    /// # Errors
    /// `pattern` if it has no `*`.
    pub fn of_param(field: &str, text: &'a str) -> Result<Self, StageError> {
        Self::new(text).ok_or_else(|| {
            StageError::input("pattern", format!("pattern `{text}` has no `*`"))
                .hint("`*` stands for the name of the photograph or patient")
                .field(field)
        })
    }

    /// As the user wrote it.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// Number of stars.
    #[must_use]
    pub const fn stars(&self) -> usize {
        self.pieces.len() - 1
    }

    /// Pattern of the folder of its files, without a trailing `/`; empty for the root.
    #[must_use]
    pub fn folder(&self) -> &'a str {
        let plain = self.text.trim_start_matches("./");
        plain.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Pattern of the file names within their folder.
    #[must_use]
    pub fn file(&self) -> &'a str {
        self.text.rsplit('/').next().unwrap_or(self.text)
    }

    /// Deepest folder above all its files whose path has no star; empty for the root.
    #[must_use]
    pub fn fixed_folder(&self) -> &'a str {
        let folder = self.folder();
        let Some(star) = folder.find('*') else { return folder };
        folder[..star].rsplit_once('/').map_or("", |(fixed, _)| fixed)
    }

    /// Text that each `*` matches in `path`, as short as possible; [`None`] if the path does not match.
    #[must_use]
    pub fn captures<'p>(&self, path: &'p str) -> Option<Vec<Cow<'p, str>>> {
        self.find(path, MatchEnd::Path)
    }

    /// As [`Pattern::captures`], but matching a prefix of the path.
    #[must_use]
    pub fn captures_of_beginning<'p>(&self, path: &'p str) -> Option<Vec<Cow<'p, str>>> {
        self.find(path, MatchEnd::Anywhere)
    }

    /// As [`Pattern::captures`], with the extension removed from the last one if the pattern ends with `*`.
    #[must_use]
    pub fn names<'p>(&self, path: &'p str) -> Option<Vec<Cow<'p, str>>> {
        let mut found = self.captures(path)?;
        if self.pieces.last().is_some_and(String::is_empty)
            && let Some(last) = found.pop()
        {
            found.push(match last {
                Cow::Borrowed(last) => Cow::Borrowed(name_and_extension(last).0),
                Cow::Owned(last) => Cow::Owned(name_and_extension(&last).0.to_owned()),
            });
        }
        Some(found)
    }

    fn find<'p>(&self, path: &'p str, end: MatchEnd) -> Option<Vec<Cow<'p, str>>> {
        if let Some(found) = find(path, &self.pieces, end) {
            return Some(found.into_iter().map(Cow::Borrowed).collect());
        }
        if path.is_ascii() {
            return None;
        }
        let path = nfc(path);
        Some(find(&path, &self.composed, end)?.into_iter().map(|found| Cow::Owned(found.to_owned())).collect())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MatchEnd {
    Path,
    Anywhere,
}

fn find<'p>(path: &'p str, pieces: &[String], end: MatchEnd) -> Option<Vec<&'p str>> {
    let lower = folded(path);
    let rest = lower.strip_prefix(pieces[0].as_str())?;
    let mut found = Vec::new();
    capture(path, &lower, lower.len() - rest.len(), &pieces[1..], end, &mut found).then_some(found)
}

/// Finds the shortest text for the first star for which the rest matches, too. Paths are short, so backtracking is cheap; the number of
/// tries is bounded by the path's length to the power of the stars in one path component, and stars do not cross `/`.
fn capture<'p>(
    path: &'p str,
    lower: &str,
    from: usize,
    pieces: &[String],
    end: MatchEnd,
    found: &mut Vec<&'p str>,
) -> bool {
    let [piece, rest @ ..] = pieces else {
        return end == MatchEnd::Anywhere || from == lower.len();
    };
    let open = &lower[from..];
    let limit = open.find('/').unwrap_or(open.len());
    for length in (0..=limit).filter(|&length| open.is_char_boundary(length)) {
        // A trailing star takes the whole component.
        let whole = rest.is_empty() && piece.is_empty() && length < limit;
        if whole || !open[length..].starts_with(piece.as_str()) {
            continue;
        }
        found.push(&path[from..from + length]);
        if capture(path, lower, from + length + piece.len(), rest, end, found) {
            return true;
        }
        found.pop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of the stars, joined by `/`.
    fn name(pattern: &str, path: &str) -> Option<String> {
        Some(Pattern::new(pattern).unwrap().names(path)?.join("/"))
    }

    #[test]
    fn all_stars_are_the_name() {
        let name = |pattern, path| name(pattern, path).map(|found| &*found.leak());
        assert_eq!(name("photographs/*", "photographs/a.b.JPG"), Some("a.b"));
        assert_eq!(name("photographs/*.jpg", "photographs/a.JPG"), Some("a"));
        assert_eq!(
            name("photographs/*", "photographs/1.2.840.99.7"),
            Some("1.2.840.99.7"),
            "as DICOM files are called"
        );
        assert_eq!(name("photographs/*.jpg", "photographs/a.png"), None);
        assert_eq!(name("photographs/*", "photographs/p1/a.png"), None, "a star stays in its folder");
        assert_eq!(name("photographs/*/*", "photographs/p1/a.png"), Some("p1/a"));
        assert_eq!(name("masks/ma/*_MA.tif", "masks/ma/x_ma_MA.tif"), Some("x_ma"));
    }

    #[test]
    fn a_patient_is_what_its_star_stands_for() {
        let of = |pattern, path| Some(Pattern::new(pattern).unwrap().captures_of_beginning(path)?[0].to_string());
        assert_eq!(of("photographs/*/", "photographs/p1/a.png").as_deref(), Some("p1"));
        assert_eq!(of("photographs/*_", "photographs/0001_2.png").as_deref(), Some("0001"));
        assert_eq!(of("other/*/", "photographs/p1/a.png"), None);
    }

    #[test]
    fn spelling_does_not_count() {
        assert_eq!(name("m/é_*", "M/E\u{301}_a.png").as_deref(), Some("a"));
        assert_eq!(name("m/e\u{301}_*", "m/É_É.png").as_deref(), Some("É"));
        assert_eq!(name("m/*", "m/e\u{301}.png").as_deref(), Some("e\u{301}"), "a name stays as it is spelled");
    }

    #[test]
    fn a_pattern_says_where_its_files_lie() {
        let of = |text| {
            let pattern = Pattern::new(text).unwrap();
            [pattern.folder(), pattern.file(), pattern.fixed_folder()]
        };
        assert_eq!(of("./masks/ma/*_MA.tif"), ["masks/ma", "*_MA.tif", "masks/ma"]);
        assert_eq!(of("a/b*/c/*"), ["a/b*/c", "*", "a"]);
        assert_eq!(of("*"), ["", "*", ""]);
    }
}
