//! The types of parameters, their ranges, and the check of one value against them.

use std::fmt;

use super::value::Value;
use crate::syntax::{Entry, Scalar};

/// The type of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Int,
    /// A whole number from 0.
    Count,
    /// A whole number of pixels from 0.
    Px,
    /// A seed: a whole number from 0.
    Seed,
    /// A real number.
    Real,
    /// A share from 0 to 1.
    Share,
    /// A probability from 0 to 1.
    Probability,
    /// An angle in degrees.
    Degrees,
    /// Text.
    Text,
    /// A path, relative to the project's folder.
    Path,
    /// `#true` or `#false`.
    Bool,
    /// One of the cases, with parameters of its own.
    Choice,
    /// Parameters under one name.
    Group,
    /// Values side by side.
    List(Box<Kind>),
    /// Names with a value each.
    Map(Box<Kind>),
    /// The name of a network.
    Network,
}

/// The names that `type=` knows, without those that hold others.
pub const NAMES: [&str; 16] = [
    "int",
    "count",
    "px",
    "seed",
    "real",
    "share",
    "probability",
    "degrees",
    "text",
    "path",
    "bool",
    "choice",
    "group",
    "list",
    "map",
    "network",
];

impl Kind {
    /// The type of that name; `of` is what a list or a map holds (text where it is not said).
    #[must_use]
    pub fn named(name: &str, of: Option<&str>) -> Option<Self> {
        let inner = || of.map_or(Some(Self::Text), |of| Self::named(of, None)).map(Box::new);
        Some(match name {
            "int" => Self::Int,
            "count" => Self::Count,
            "px" => Self::Px,
            "seed" => Self::Seed,
            "real" => Self::Real,
            "share" => Self::Share,
            "probability" => Self::Probability,
            "degrees" => Self::Degrees,
            "text" => Self::Text,
            "path" => Self::Path,
            "bool" => Self::Bool,
            "choice" => Self::Choice,
            "group" => Self::Group,
            "list" => Self::List(inner()?),
            "map" => Self::Map(inner()?),
            "network" => Self::Network,
            _ => return None,
        })
    }

    /// Its name as `type=` has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Count => "count",
            Self::Px => "px",
            Self::Seed => "seed",
            Self::Real => "real",
            Self::Share => "share",
            Self::Probability => "probability",
            Self::Degrees => "degrees",
            Self::Text => "text",
            Self::Path => "path",
            Self::Bool => "bool",
            Self::Choice => "choice",
            Self::Group => "group",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Network => "network",
        }
    }

    /// The unit of its numbers, where they have one.
    #[must_use]
    pub const fn unit(&self) -> Option<&'static str> {
        match self {
            Self::Px => Some("px"),
            Self::Degrees => Some("degrees"),
            _ => None,
        }
    }

    /// The range that its numbers have where a signature says none.
    #[must_use]
    pub fn natural_range(&self) -> Option<Range> {
        match self {
            Self::Count | Self::Px | Self::Seed => Range::read("0.."),
            Self::Share | Self::Probability => Range::read("0..=1"),
            _ => None,
        }
    }

    /// What a value of it is, in words: `a whole number`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Int | Self::Seed => "a whole number".to_owned(),
            Self::Count => "a count (a whole number)".to_owned(),
            Self::Px => "a whole number of pixels".to_owned(),
            Self::Real => "a number".to_owned(),
            Self::Share => "a share from 0 to 1".to_owned(),
            Self::Probability => "a probability from 0 to 1".to_owned(),
            Self::Degrees => "a number of degrees".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Path => "a path in quotes".to_owned(),
            Self::Bool => "`#true` or `#false`".to_owned(),
            Self::Choice => "one of its cases".to_owned(),
            Self::Group => "a group of named values".to_owned(),
            Self::List(of) => format!("values side by side, each {}", of.words()),
            Self::Map(of) => format!("names with a value each, {}", of.words()),
            Self::Network => "the name of a network".to_owned(),
        }
    }

    /// A value that it takes, for hints.
    const fn sample(&self) -> &'static str {
        match self {
            Self::Int | Self::Count | Self::Px | Self::Seed => "64",
            Self::Real | Self::Degrees => "1.5",
            Self::Share | Self::Probability => "0.5",
            Self::Bool => "#true",
            Self::Path => "\"data/idrid\"",
            _ => "\"…\"",
        }
    }
}

/// A range of numbers: `8..=1024`, `0..<1`, `1..`.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    low: f64,
    high: f64,
    /// Whether `high` itself is outside.
    open: bool,
    text: String,
}

impl Range {
    /// Reads a range as signatures write it.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (low, rest) = text.split_once("..")?;
        let low = low.parse().ok()?;
        let (high, open) = match (rest.strip_prefix('='), rest.strip_prefix('<')) {
            (Some(high), _) => (high.parse().ok()?, false),
            (_, Some(high)) => (high.parse().ok()?, true),
            (None, None) if rest.is_empty() => (f64::INFINITY, true),
            (None, None) => return None,
        };
        Some(Self { low, high, open, text: text.to_owned() })
    }

    /// The least value, the greatest where there is one, and whether that one itself is outside.
    #[must_use]
    pub fn bounds(&self) -> (f64, Option<f64>, bool) {
        let high = Some(self.high).filter(|high| high.is_finite());
        (self.low, high, high.is_some() && self.open)
    }

    /// Whether `value` lies within.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        value >= self.low && (value < self.high || !self.open && value == self.high)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.low, self.high);
        match (high.is_finite(), self.open) {
            (false, _) => write!(f, "{low} or more"),
            (true, true) => write!(f, "from {low} to under {high}"),
            (true, false) => write!(f, "from {low} to {high}"),
        }
    }
}

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its name in the catalogue.
    pub code: &'static str,
    /// What is wrong, without the parameter's name: `is a whole number, not text`.
    pub text: String,
    /// What to do about it.
    pub hint: String,
}

/// The checked value of one entry.
///
/// # Errors
/// A [`Refusal`] where the entry is of another type or out of range.
pub fn value(kind: &Kind, range: Option<&Range>, entry: &Entry) -> Result<Value, Refusal> {
    let refuse = || Refusal {
        code: "wrong-kind",
        text: format!("is {}, not {}", kind.words(), found(&entry.value)),
        hint: match (kind, &entry.value) {
            (Kind::Bool, value) => format!("write `#{}`", !is_no(value)),
            _ => format!("write {} such as `{}`", kind.words().split(" (").next().unwrap_or_default(), kind.sample()),
        },
    };
    let within = |number: f64, shown: &str| {
        let natural = kind.natural_range();
        match range.or(natural.as_ref()) {
            Some(range) if !range.holds(number) => Err(Refusal {
                code: "out-of-range",
                text: format!("can't be {shown}"),
                hint: match kind {
                    Kind::Share | Kind::Probability if number > 1.0 && number <= 100.0 => {
                        format!("it is a share {range}: write `{:?}` for {shown} %", number / 100.0)
                    }
                    _ => format!("it must be {range}"),
                },
            }),
            _ if number.is_finite() => Ok(()),
            _ => Err(Refusal {
                code: "out-of-range",
                text: format!("can't be {shown}"),
                hint: "it must be finite".to_owned(),
            }),
        }
    };
    match (kind, &entry.value) {
        (Kind::Int | Kind::Count | Kind::Px | Kind::Seed, Scalar::Int(number)) => {
            within(*number as f64, &number.to_string())?;
            Ok(Value::Int(*number))
        }
        (Kind::Int | Kind::Count | Kind::Px | Kind::Seed, Scalar::Real(number)) => {
            let whole = format!("write `{}`", number.round());
            Err(Refusal { hint: if number.is_finite() { whole } else { refuse().hint }, ..refuse() })
        }
        (Kind::Real | Kind::Share | Kind::Probability | Kind::Degrees, Scalar::Int(number)) => {
            within(*number as f64, &number.to_string())?;
            Ok(Value::Real(*number as f64))
        }
        (Kind::Real | Kind::Share | Kind::Probability | Kind::Degrees, Scalar::Real(number)) => {
            within(*number, &shown(*number))?;
            Ok(Value::Real(*number))
        }
        (Kind::Bool, Scalar::Bool(flag)) => Ok(Value::Bool(*flag)),
        (Kind::Text | Kind::Choice | Kind::Network, Scalar::Text(text)) => Ok(Value::Text(text.clone())),
        (Kind::Choice, Scalar::Int(number)) => Ok(Value::Text(number.to_string())),
        (Kind::Path, Scalar::Text(text)) if text.is_empty() => Err(Refusal {
            code: "wrong-kind",
            text: "is an empty path".to_owned(),
            hint: "name a file or a folder".to_owned(),
        }),
        (Kind::Path, Scalar::Text(text)) => Ok(Value::Path(text.clone())),
        (kind, Scalar::Text(text)) if !matches!(kind, Kind::Bool) && entry.quoted && text.parse::<f64>().is_ok() => {
            Err(Refusal { hint: format!("write it without quotes: `{text}`"), ..refuse() })
        }
        _ => Err(refuse()),
    }
}

/// Whether a value that is no `#true` or `#false` means no.
fn is_no(value: &Scalar) -> bool {
    match value {
        Scalar::Text(text) => matches!(text.to_lowercase().as_str(), "false" | "no" | "off" | "0" | "none" | "n"),
        Scalar::Int(number) => *number == 0,
        _ => false,
    }
}

/// A number as people write it.
fn shown(number: f64) -> String {
    if number != 0.0 && number.is_finite() && !(1e-4..1e7).contains(&number.abs()) {
        format!("{number:e}")
    } else {
        format!("{number:?}")
    }
}

/// What a value is, in words.
fn found(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => format!("the text `{text}`"),
        Scalar::Int(number) => format!("the number {number}"),
        Scalar::Real(number) => format!("the number {}", shown(*number)),
        Scalar::Bool(flag) => format!("`#{flag}`"),
        Scalar::Null => "`#null`".to_owned(),
        Scalar::Wrong => "what can't be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_ends_as_it_says() {
        let range = Range::read("0..<1").expect("a range");
        assert!(range.holds(0.0) && !range.holds(1.0));
        assert!(Range::read("8..=1024").is_some_and(|range| range.holds(1024.0) && !range.holds(7.0)));
        assert!(Range::read("1..").is_some_and(|range| range.holds(1e9)));
        assert_eq!(Range::read("1-2"), None);
    }

    #[test]
    fn every_name_of_a_type_is_a_type_of_that_name() {
        for name in NAMES {
            assert_eq!(Kind::named(name, None).map(|kind| kind.name()), Some(name));
        }
    }
}
