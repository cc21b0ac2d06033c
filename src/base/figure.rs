//! Formats numbers for display: `0.783`, `136,237`, `3 patches`.

/// A metric with three decimals and a leading zero: `0.783`, `1.000`; `-` if undefined.
#[must_use]
pub fn metric(value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let text = format!("{value:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text }
}

/// A metric of each class, by name: `MA 0.701, HE 0.618, EX -`.
#[must_use]
pub fn per_class<'n>(
    classes: impl IntoIterator<Item = &'n String>,
    values: impl IntoIterator<Item = Option<f64>>,
) -> String {
    let named = classes.into_iter().zip(values).map(|(class, value)| format!("{class} {}", metric(value)));
    named.collect::<Vec<_>>().join(", ")
}

/// A count with thousands separators: `136,237`.
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

/// A count with its noun in the right number: `1 patch`, `3 photographs`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), noun(count, one, many))
}

/// The noun in the right number for a count; for texts that format the count themselves.
#[must_use]
pub fn noun<'n>(count: u64, one: &'n str, many: &'n str) -> &'n str {
    if count == 1 { one } else { many }
}

/// A size in bytes, in powers of 1024: `1.4 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    // 1023.95 would be rounded to 1024.0 of the smaller unit.
    while (if unit == 0 { value >= 1024.0 } else { value >= 1023.95 }) && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// As [`bytes()`], but spelled out below 1 KiB: `1 byte`, `9 bytes`.
#[must_use]
pub fn size(count: u64) -> String {
    if count < 1024 { counted(count, "byte", "bytes") } else { bytes(count) }
}

/// How the reals of one column of a table are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealStyle {
    /// With this many decimals.
    Decimals(usize),
    /// Tiny or huge (learning rates): `2.2e-9`.
    Exponent,
}

impl RealStyle {
    /// Style of a column: metrics have three decimals; other reals as few as leave out nothing but zeros, at most three.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let finite = || values.iter().map(|value| value.abs()).filter(|value| value.is_finite() && *value != 0.0);
        let largest = finite().fold(0.0, f64::max);
        let smallest = finite().fold(f64::INFINITY, f64::min);
        let rates = largest < 5e-4 || largest < 0.02 && smallest < 1e-3;
        if largest != 0.0 && (rates || largest >= 1e15) {
            return Self::Exponent;
        }
        if largest <= 1.0 {
            return Self::Decimals(3);
        }
        let shortest =
            |value: f64| format!("{value:.3}").trim_end_matches('0').split_once('.').map_or(0, |(_, kept)| kept.len());
        Self::Decimals(finite().map(shortest).max().unwrap_or(1).max(1))
    }

    /// A number of the column; `-` for NaN.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        if value.is_nan() {
            return "-".to_owned();
        }
        match self {
            Self::Exponent => format!("{value:.1e}"),
            Self::Decimals(decimals) => {
                let text = format!("{:.decimals$}", value.abs());
                let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
                let whole = whole.parse().map_or_else(|_| whole.to_owned(), thousands);
                let sign = if value < 0.0 { "-" } else { "" };
                if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
            }
        }
    }
}

/// `third`, `12th`.
#[must_use]
pub fn ordinal(number: u64) -> String {
    const FIRST: [&str; 9] = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];
    if let Some(word) = number.checked_sub(1).and_then(|at| FIRST.get(usize::try_from(at).ok()?)) {
        return (*word).to_owned();
    }
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{}{ending}", thousands(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_words_up_to_ninth() {
        assert_eq!(
            [1, 3, 9, 10, 11, 21, 112, 1003].map(ordinal).join(" "),
            "first third ninth 10th 11th 21st 112th 1,003rd"
        );
    }

    #[test]
    fn metrics_have_three_decimals_and_a_leading_zero() {
        let all = [Some(0.7), Some(1.0), None, Some(-0.25), Some(-0.0001), Some(12.5)].map(metric);
        assert_eq!(all, ["0.700", "1.000", "-", "-0.250", "0.000", "12.500"]);
        let classes = ["MA".to_owned(), "HE".to_owned()];
        assert_eq!(per_class(&classes, [Some(0.7), None]), "MA 0.700, HE -");
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(thousands(136_237), "136,237");
        assert_eq!(thousands(999), "999");
        assert_eq!(counted(1, "patch", "patches"), "1 patch");
        assert_eq!(counted(1000, "patch", "patches"), "1,000 patches");
    }
    #[test]
    fn sizes_are_never_a_thousand_and_twenty_four_of_a_unit() {
        assert_eq!([0, 1023, 1024, 1_500_000, 1 << 40].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.4 MiB", "1.0 TiB"]);
        let below = [(1 << 20) - 1, (1 << 30) - 1, (1 << 40) - 1, u64::MAX];
        assert_eq!(below.map(bytes), ["1.0 MiB", "1.0 GiB", "1.0 TiB", "16777216.0 TiB"]);
    }
}
