//! How figures are written for people: `.70`, `136,237`, `3 patches`.

/// A figure between 0 and 1 with `decimals` places and no leading 0: `.70`, `1.00`; `-` where it has no value.
#[must_use]
pub fn short(figure: Option<f64>, decimals: usize) -> String {
    let Some(figure) = figure else { return "-".to_owned() };
    let text = format!("{figure:.decimals$}");
    match text.strip_prefix("-0.") {
        Some(rest) if rest.bytes().all(|digit| digit == b'0') => format!(".{rest}"),
        Some(rest) => format!("-.{rest}"),
        None => text.strip_prefix('0').filter(|rest| rest.starts_with('.')).map_or(text.clone(), str::to_owned),
    }
}

/// Figures one after the other: `.70 .62 .86 -`.
#[must_use]
pub fn row(figures: impl IntoIterator<Item = Option<f64>>, decimals: usize) -> String {
    figures.into_iter().map(|figure| short(figure, decimals)).collect::<Vec<_>>().join(" ")
}

/// A count with its thousands apart: `136,237`.
#[must_use]
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun, in the number that agrees: `1 patch`, `3 photographs`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_lose_their_leading_zero() {
        assert_eq!(
            row([Some(0.7), Some(1.0), None, Some(-0.25), Some(-0.0001), Some(12.5)], 2),
            ".70 1.00 - -.25 .00 12.50"
        );
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(thousands(136_237), "136,237");
        assert_eq!(thousands(999), "999");
        assert_eq!(counted(1, "patch", "patches"), "1 patch");
        assert_eq!(counted(1000, "patch", "patches"), "1,000 patches");
    }
}
