//! Characters that look like others: full-width letters, dashes and minus signs, invisible ones. Reports nothing itself.

/// A word in KDL's own characters, and the message on the first confusable one; [`None`] if it has none.
pub(super) fn in_ascii(text: &str) -> Option<(String, String)> {
    if text.is_ascii() {
        return None;
    }
    let confusable = text.chars().find(|&c| alike(c) != Some(c))?;
    let meant: String = text.chars().filter_map(alike).collect();
    let why = match confusable {
        '\u{ff01}'..='\u{ff5e}' => format!("`{confusable}` is a full-width character"),
        _ if alike(confusable).is_none() => {
            format!("this word contains an invisible character (U+{:04X})", u32::from(confusable))
        }
        _ => format!(
            "`{confusable}` looks like `{}` but is a different character",
            alike(confusable).unwrap_or(confusable)
        ),
    };
    Some((meant, why))
}

/// The character that `c` looks like; [`None`] if it is invisible.
fn alike(c: char) -> Option<char> {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '‐' | '‑' | '‒' | '–' | '—' | '−' | '﹣' => Some('-'),
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' => None,
        _ => Some(c),
    }
}
