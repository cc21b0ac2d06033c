//! Mistakes in annotation files: all are counted, the first ones are listed. Knows no format.

use crate::base::figure::counted;
use crate::stage::StageError;

/// Number of mistakes that a message lists.
const LISTED: usize = 10;

/// Mistakes of one file or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnotationMistakes {
    /// The file that is read now.
    file: String,
    listed: Vec<String>,
    count: u64,
}

impl AnnotationMistakes {
    /// No mistakes yet, in this file.
    #[must_use]
    pub fn of(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    /// Adds a mistake; `place` is where in the file, empty for the file itself.
    pub fn add(&mut self, place: &str, what: impl std::fmt::Display) {
        self.count += 1;
        if self.listed.len() < LISTED {
            let colon = if place.is_empty() { "" } else { ": " };
            self.listed.push(format!("`{}`: {place}{colon}{what}", self.file));
        }
    }

    /// Number of mistakes.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Adds those of another file.
    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        let room = LISTED.saturating_sub(self.listed.len());
        self.listed.extend(other.listed.into_iter().take(room));
    }

    /// The error that lists them; [`None`] if there are none.
    #[must_use]
    pub fn error(&self, code: &'static str) -> Option<StageError> {
        let text = match self.listed.as_slice() {
            [] => return None,
            [only] if self.count == 1 => only.clone(),
            listed => {
                let mut text = counted(self.count, "mistake", "mistakes") + " in annotations:";
                for line in listed {
                    text.push_str("\n    ");
                    text.push_str(line);
                }
                let more = self.count - listed.len() as u64;
                if more > 0 {
                    text.push_str("\n    and ");
                    text.push_str(&counted(more, "more", "more"));
                }
                text
            }
        };
        Some(StageError::input(code, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(mistakes: &AnnotationMistakes) -> String {
        mistakes.error("damaged-annotation").expect("a mistake").to_string()
    }

    #[test]
    fn the_first_mistakes_are_listed_and_all_are_counted() {
        assert!(AnnotationMistakes::of("a.json").error("damaged-annotation").is_none());
        let mut all = AnnotationMistakes::of("a.json");
        all.add("annotations[0]", "has no polygon");
        assert_eq!(text(&all), "`a.json`: annotations[0]: has no polygon");
        let mut other = AnnotationMistakes::of("b.json");
        (0..1200).for_each(|i| other.add(&format!("shapes[{i}]"), "has no points"));
        all.append(other);
        let text = text(&all);
        assert!(text.starts_with("1,201 mistakes in annotations:\n    `a.json`: annotations[0]"), "{text}");
        assert!(text.ends_with("`b.json`: shapes[8]: has no points\n    and 1,191 more"), "{text}");
    }
}
