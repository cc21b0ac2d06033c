//! Parameter types, their ranges, and the check of a value against them.

use std::fmt;

use super::value::Value;
use crate::syntax::{NodeEntry, Scalar};

/// The type of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// A whole number.
    Int,
    /// A whole number, 0 or more.
    Count,
    /// A whole number of pixels, 0 or more.
    Px,
    /// A seed: a whole number, 0 or more.
    Seed,
    /// A real number.
    Real,
    /// A fraction from 0 to 1.
    Share,
    /// A probability from 0 to 1.
    Probability,
    /// An angle in degrees.
    Degrees,
    /// Text.
    Text,
    /// A path, relative to the project folder.
    Path,
    /// `#true` or `#false`.
    Bool,
    /// One of several cases, which may have parameters.
    Choice,
    /// Parameters under one name.
    Group,
    /// A list of values.
    List(Box<ParamType>),
    /// A map of names to values.
    Map(Box<ParamType>),
    /// The name of a network.
    Network,
}

/// The names for `type=`.
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

impl ParamType {
    /// The type with a name; `of` is the type inside a list or a map (text by default).
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

    /// Its name for `type=`.
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

    /// The unit of its numbers, if any.
    #[must_use]
    pub const fn unit(&self) -> Option<&'static str> {
        match self {
            Self::Px => Some("px"),
            Self::Degrees => Some("degrees"),
            _ => None,
        }
    }

    /// The range of its numbers if the signature gives none.
    #[must_use]
    pub fn natural_range(&self) -> Option<Range> {
        match self {
            Self::Count | Self::Px | Self::Seed => Range::read("0.."),
            Self::Share | Self::Probability => Range::read("0..=1"),
            _ => None,
        }
    }

    /// A description of its values: `a whole number`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Int | Self::Seed => "a whole number".to_owned(),
            Self::Count => "a count (a whole number)".to_owned(),
            Self::Px => "a whole number of pixels".to_owned(),
            Self::Real => "a number".to_owned(),
            Self::Share => "a fraction from 0 to 1".to_owned(),
            Self::Probability => "a probability from 0 to 1".to_owned(),
            Self::Degrees => "a number of degrees".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Path => "a path in quotes".to_owned(),
            Self::Bool => "`#true` or `#false`".to_owned(),
            Self::Choice => "one of its cases".to_owned(),
            Self::Group => "a group of named values".to_owned(),
            Self::List(of) => match **of {
                Self::Text => "a list of text values".to_owned(),
                Self::Real => "a list of numbers".to_owned(),
                Self::Int | Self::Count | Self::Px | Self::Seed => "a list of whole numbers".to_owned(),
                _ => format!("a list, each value {}", of.words()),
            },
            Self::Map(of) => {
                let of = of.words();
                let noun = of.strip_prefix("a ").or_else(|| of.strip_prefix("an ")).unwrap_or(&of);
                format!("a map of name to {noun}")
            }
            Self::Network => "the name of a network".to_owned(),
        }
    }

    /// An example value, for hints: the usual one, or one within the range.
    fn sample(&self, range: Option<&Range>, usual: Option<&Value>) -> String {
        match usual {
            Some(Value::Int(number)) => return number.to_string(),
            Some(Value::Real(number)) => return shown(*number),
            Some(Value::List(values)) if !values.is_empty() => return self.sample(range, values.first()),
            Some(Value::Map(values)) if !values.is_empty() => return self.sample(range, values.values().next()),
            _ => {}
        }
        let within = |number: f64, text: &str| match range {
            Some(range) if !range.holds(number) => shown(range.low).trim_end_matches(".0").to_owned(),
            _ => text.to_owned(),
        };
        match self {
            Self::Int | Self::Count | Self::Px | Self::Seed => within(64.0, "64"),
            Self::Real | Self::Degrees => within(1.5, "1.5"),
            Self::Share | Self::Probability => within(0.5, "0.5"),
            Self::Bool => "#true".to_owned(),
            Self::Path => "\"data/idrid\"".to_owned(),
            _ => "\"…\"".to_owned(),
        }
    }
}

/// A range of numbers: `8..=1024`, `0..<1`, `1..`.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    low: f64,
    high: f64,
    /// Whether `high` itself is excluded.
    open: bool,
    text: String,
}

impl Range {
    /// Parses a range as written in signatures.
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

    /// The minimum, the maximum if there is one, and whether the maximum is excluded.
    #[must_use]
    pub fn bounds(&self) -> (f64, Option<f64>, bool) {
        let high = Some(self.high).filter(|high| high.is_finite());
        (self.low, high, high.is_some() && self.open)
    }

    /// Whether `value` is within the range.
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
            (true, true) => write!(f, "from {low} to below {high}"),
            (true, false) => write!(f, "from {low} to {high}"),
        }
    }
}

/// Why a value is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its diagnostic code.
    pub code: &'static str,
    /// What is wrong, without the parameter's name: ``must be a whole number, got `many` ``.
    pub text: String,
    /// The hint.
    pub hint: String,
}

/// The checked value of one entry; `usual` is the parameter's default, an example for hints.
///
/// # Errors
/// A [`Refusal`] if the entry has another type or is out of range.
pub fn value(
    kind: &ParamType,
    range: Option<&Range>,
    usual: Option<&Value>,
    entry: &NodeEntry,
) -> Result<Value, Refusal> {
    let refuse = || Refusal {
        code: "wrong-kind",
        text: format!("must be {}, got {}", kind.words(), found(entry)),
        hint: match (kind, &entry.value) {
            (ParamType::Bool, value) => format!("write `#{}`", !is_no(value)),
            _ => format!("write e.g. `{}`", kind.sample(range, usual)),
        },
    };
    let within = |number: f64, shown: &str| {
        let natural = kind.natural_range();
        match range.or(natural.as_ref()) {
            Some(range) if !range.holds(number) => Err(Refusal {
                code: "out-of-range",
                text: format!("cannot be {shown}"),
                hint: match kind {
                    ParamType::Share | ParamType::Probability if number > 1.0 && number <= 100.0 => {
                        format!("it is a fraction {range}; write `{:?}` for {shown} %", number / 100.0)
                    }
                    _ => format!("must be {range}"),
                },
            }),
            _ if number.is_finite() => Ok(()),
            _ => Err(Refusal {
                code: "out-of-range",
                text: format!("cannot be {shown}"),
                hint: "must be finite".to_owned(),
            }),
        }
    };
    match (kind, &entry.value) {
        (ParamType::Int | ParamType::Count | ParamType::Px | ParamType::Seed, Scalar::Int(number)) => {
            within(*number as f64, &number.to_string())?;
            Ok(Value::Int(*number))
        }
        (ParamType::Int | ParamType::Count | ParamType::Px | ParamType::Seed, Scalar::Real(number)) => {
            let whole = format!("write `{}`", number.round());
            Err(Refusal { hint: if number.is_finite() { whole } else { refuse().hint }, ..refuse() })
        }
        (ParamType::Real | ParamType::Share | ParamType::Probability | ParamType::Degrees, Scalar::Int(number)) => {
            within(*number as f64, &number.to_string())?;
            Ok(Value::Real(*number as f64))
        }
        (ParamType::Real | ParamType::Share | ParamType::Probability | ParamType::Degrees, Scalar::Real(number)) => {
            within(*number, &shown(*number))?;
            Ok(Value::Real(*number))
        }
        (ParamType::Bool, Scalar::Bool(flag)) => Ok(Value::Bool(*flag)),
        (ParamType::Text | ParamType::Choice | ParamType::Network, Scalar::Text(text)) => Ok(Value::Text(text.clone())),
        (ParamType::Choice, Scalar::Int(number)) => Ok(Value::Text(number.to_string())),
        (ParamType::Path, Scalar::Text(text)) if text.is_empty() => Err(Refusal {
            code: "wrong-kind",
            text: "cannot be empty".to_owned(),
            hint: "name a file or a folder".to_owned(),
        }),
        (ParamType::Path, Scalar::Text(text)) => Ok(Value::Path(text.clone())),
        (kind, Scalar::Text(text))
            if !matches!(kind, ParamType::Bool) && entry.quoted && text.parse::<f64>().is_ok() =>
        {
            Err(Refusal { hint: format!("write it without quotes: `{text}`"), ..refuse() })
        }
        _ => Err(refuse()),
    }
}

/// Whether a value other than `#true` or `#false` means no.
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

/// A value as written, in backticks.
fn found(entry: &NodeEntry) -> String {
    match &entry.value {
        Scalar::Text(text) if entry.quoted => format!("`\"{text}\"`"),
        Scalar::Real(number) => format!("`{}`", shown(*number)),
        Scalar::Wrong => "an unreadable value".to_owned(),
        value => format!("`{value}`"),
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
            assert_eq!(ParamType::named(name, None).map(|kind| kind.name()), Some(name));
        }
    }
}
