//! Patterns of paths: `photographs/*/*.jpg`. A `*` is any text without `/`; case does not count.

/// A pattern of paths below a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern<'a> {
    text: &'a str,
    pieces: Vec<String>,
}

impl<'a> Pattern<'a> {
    /// A pattern as the user wrote it; [`None`] where it has no `*`.
    #[must_use]
    pub fn new(text: &'a str) -> Option<Self> {
        let plain = text.trim_start_matches("./");
        let pieces: Vec<String> = plain.split('*').map(str::to_ascii_lowercase).collect();
        (pieces.len() > 1).then_some(Self { text, pieces })
    }

    /// As the user wrote it.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// What each `*` stands for in `path`, each as short as it can be; [`None`] where the path is not of the pattern.
    #[must_use]
    pub fn captures<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let lower = path.to_ascii_lowercase();
        let rest = lower.strip_prefix(self.pieces[0].as_str())?;
        let mut found = Vec::new();
        capture(path, &lower, lower.len() - rest.len(), &self.pieces[1..], End::Path, &mut found).then_some(found)
    }

    /// As [`Pattern::captures`], where the pattern need only be how the path begins.
    #[must_use]
    pub fn captures_of_beginning<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let lower = path.to_ascii_lowercase();
        let rest = lower.strip_prefix(self.pieces[0].as_str())?;
        let mut found = Vec::new();
        capture(path, &lower, lower.len() - rest.len(), &self.pieces[1..], End::Anywhere, &mut found).then_some(found)
    }

    /// The name that the last `*` stands for, without the extension where the pattern ends with that `*`.
    #[must_use]
    pub fn name<'p>(&self, path: &'p str) -> Option<&'p str> {
        let last = self.captures(path)?.pop()?;
        let ends_open = self.pieces.last().is_some_and(String::is_empty);
        Some(if ends_open { last.rsplit_once('.').map_or(last, |(stem, _)| stem) } else { last })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Path,
    Anywhere,
}

/// Finds the shortest text for the first star whose rest fits too. Paths are short, so that trying all is cheap; the number of
/// tries is bounded by the path's length to the power of the stars in one folder name, and stars do not cross folders.
fn capture<'p>(path: &'p str, lower: &str, from: usize, pieces: &[String], end: End, found: &mut Vec<&'p str>) -> bool {
    let [piece, rest @ ..] = pieces else {
        return end == End::Anywhere || from == lower.len();
    };
    let open = &lower[from..];
    let limit = open.find('/').unwrap_or(open.len());
    for length in (0..=limit).filter(|&length| open.is_char_boundary(length)) {
        // An open end takes all of its folder's name.
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

    fn name<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
        Pattern::new(pattern).unwrap().name(path)
    }

    #[test]
    fn the_last_star_is_the_name() {
        assert_eq!(name("photographs/*", "photographs/a.b.JPG"), Some("a.b"));
        assert_eq!(name("photographs/*.jpg", "photographs/a.JPG"), Some("a"));
        assert_eq!(name("photographs/*.jpg", "photographs/a.png"), None);
        assert_eq!(name("photographs/*", "photographs/p1/a.png"), None, "a star stays in its folder");
        assert_eq!(name("photographs/*/*", "photographs/p1/a.png"), Some("a"));
        assert_eq!(name("masks/ma/*_MA.tif", "masks/ma/x_ma_MA.tif"), Some("x_ma"));
    }

    #[test]
    fn a_patient_is_what_its_star_stands_for() {
        let of = |pattern, path| Some(Pattern::new(pattern).unwrap().captures_of_beginning(path)?[0].to_owned());
        assert_eq!(of("photographs/*/", "photographs/p1/a.png").as_deref(), Some("p1"));
        assert_eq!(of("photographs/*_", "photographs/0001_2.png").as_deref(), Some("0001"));
        assert_eq!(of("other/*/", "photographs/p1/a.png"), None);
    }
}
