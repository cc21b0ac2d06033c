//! The fix that a hint proposes, if it is certain: what an editor applies for `did you mean …` and `write …`.

use super::Diag;

/// Replacement for the text at a diagnostic's primary span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// A short description.
    pub title: String,
    /// The text.
    pub text: String,
}

/// Codes whose hint says exactly what to write.
const WRITTEN: [&str; 8] =
    ["number-form", "keyword-form", "percent", "unit", "unquoted-path", "single-quotes", "out-of-range", "wrong-kind"];

impl Diag {
    /// The fix that its hint proposes; `text` is the text at its primary span.
    #[must_use]
    pub fn fix(&self, text: &str) -> Option<Fix> {
        let hint = self.hint.as_deref().unwrap_or_default();
        if let Some(meant) = within(hint, "did you mean `", "`?") {
            let new = meant_at(self.code, text, meant);
            return Some(Fix { title: format!("change to `{meant}`"), text: new });
        }
        match self.code {
            "comma" => {
                let bare = text.trim_end_matches(',');
                Some(Fix { title: "remove the comma".to_owned(), text: bare.to_owned() }).filter(|_| bare != text)
            }
            "type-annotation" => Some(Fix { title: "remove the parentheses".to_owned(), text: String::new() }),
            "list-form" => {
                let values = within(hint, "side by side: `", "`")?;
                Some(Fix { title: "remove the brackets".to_owned(), text: values.to_owned() })
            }
            "no-seed" => Some(Fix { title: "add `seed=7`".to_owned(), text: format!("{text} seed=7") }),
            code if WRITTEN.contains(&code) => {
                let new = within(hint, "without quotes: `", "`").or_else(|| within(hint, "write `", "`"))?;
                // `"…" if it is text` is a guess, and `…` stands for something only the user knows.
                let certain = !hint.contains("if it is text") && !new.contains('…');
                // `write optimizer adam` is a hint for the whole parameter, not for the text at the span.
                let one = code != "wrong-kind" || new.parse::<f64>().is_ok();
                (certain && one).then(|| Fix { title: format!("write `{new}`"), text: new.to_owned() })
            }
            _ => None,
        }
    }
}

/// The part between two texts.
fn within<'a>(hint: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let at = hint.find(before)? + before.len();
    let end = hint[at..].find(after)?;
    Some(&hint[at..at + end])
}

/// The suggested name in the form of `text`: with its quotes, its `$`, and the output after a stage's name.
fn meant_at(code: &str, text: &str, meant: &str) -> String {
    if let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        return format!("\"{}\"", meant_at(code, inner, meant));
    }
    if let Some((_, file)) = text.split_once(':').filter(|_| meant.ends_with(':')) {
        return format!("{meant}{file}");
    }
    if let Some(inner) = text.strip_prefix('$').filter(|_| !meant.starts_with('$')) {
        return format!("${}", meant_at(code, inner, meant));
    }
    match text.split_once('.') {
        Some((_, output)) if code == "unknown-name" && !meant.contains('.') => format!("{meant}.{output}"),
        _ => meant.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FileId, Span};

    fn fix(code: &'static str, hint: &str, text: &str) -> Option<String> {
        let diag = Diag::error(code, Span::new(FileId(0), 0..0), "").hint(hint);
        diag.fix(text).map(|fix| fix.text)
    }

    #[test]
    fn a_similar_name_keeps_the_form_of_the_text() {
        let hint = "did you mean `fundus`?";
        assert_eq!(fix("unknown-name", hint, "fundos").as_deref(), Some("fundus"));
        assert_eq!(fix("unknown-name", hint, "fundos.train").as_deref(), Some("fundus.train"));
        assert_eq!(fix("unknown-name", hint, "$fundos").as_deref(), Some("$fundus"));
        assert_eq!(fix("unknown-module", hint, "\"fundos\"").as_deref(), Some("\"fundus\""));
        assert_eq!(fix("unknown-name", "did you mean `folds.test`?", "folds.tset").as_deref(), Some("folds.test"));
        assert_eq!(fix("unknown-package", "did you mean `lab:`?", "\"lap:a.kdl\"").as_deref(), Some("\"lab:a.kdl\""));
    }

    #[test]
    fn a_certain_mistake_is_fixed_and_a_guess_is_not() {
        assert_eq!(fix("number-form", "write `0.5`", ".5").as_deref(), Some("0.5"));
        assert_eq!(fix("unit", "write `128`; the signature fixes the unit", "128px").as_deref(), Some("128"));
        assert_eq!(
            fix("out-of-range", "it is a fraction from 0 to 1; write `0.5` for 50 %", "50").as_deref(),
            Some("0.5")
        );
        assert_eq!(fix("wrong-kind", "write it without quotes: `64`", "\"64\"").as_deref(), Some("64"));
        assert_eq!(fix("comma", "remove the comma", "a,").as_deref(), Some("a"));
        assert_eq!(fix("list-form", "write the values side by side: `a b`", "[a, b]").as_deref(), Some("a b"));
        assert_eq!(fix("number-form", "write `\"1x\"` if it is text", "1x"), None);
        assert_eq!(fix("wrong-kind", "write e.g. `\"…\"`", "7"), None);
        assert_eq!(fix("unknown-name", "available: `a` and `b`", "c"), None);
    }
}
