//! JSON values with compact lists of numbers, since annotation files consist of little else. Knows no format.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::mistakes::AnnotationMistakes;

/// Member that is skipped: labelme keeps a copy of the whole photograph there.
const SKIPPED: &str = "imageData";

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum JsonNode {
    Null,
    Bool(bool),
    Integer(i128),
    Real(f64),
    Text(String),
    /// A list of numbers only; also the empty list.
    Numbers(Vec<f64>),
    /// A list of pairs of numbers only.
    Points(Vec<[f64; 2]>),
    List(Vec<JsonNode>),
    Map(Vec<(String, JsonNode)>),
}

/// Parses a file; adds a mistake with line and column if it is not JSON.
pub(super) fn parse(text: &str, mistakes: &mut AnnotationMistakes) -> Option<JsonNode> {
    match serde_json::from_str(text) {
        Ok(node) => Some(node),
        Err(error) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            let what = error.to_string();
            let what = what.split_once(" at line").map_or(what.as_str(), |(what, _)| what);
            let python = ["NaN", "Infinity", "-Infinity"];
            let rest = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
            let rest = rest.get(error.column().saturating_sub(1)..).unwrap_or_default();
            if python.iter().any(|word| rest.starts_with(word)) {
                mistakes.add(&place, "`NaN` and `Infinity` are not JSON");
            } else {
                mistakes.add(&place, format!("is not JSON: {what}"));
            }
            None
        }
    }
}

impl JsonNode {
    /// A member of an object; the last one if there are several.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().rev().find(|(own, _)| own == name).map(|(_, node)| node).filter(|node| **node != Self::Null)
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// A text member.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    pub(super) const fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements of a list of objects; [`None`] for another kind of value.
    pub(super) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(nodes) => Some(nodes),
            Self::Numbers(numbers) if numbers.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// The elements of a list of numbers.
    pub(super) fn numbers(&self) -> Option<&[f64]> {
        if let Self::Numbers(numbers) = self { Some(numbers) } else { None }
    }

    /// Points of a list of pairs; a third number is ignored.
    pub(super) fn points(&self) -> Option<Vec<[f64; 2]>> {
        let point = |node: &Self| match node {
            Self::Numbers(numbers) if matches!(numbers.len(), 2 | 3) => Some([numbers[0], numbers[1]]),
            _ => None,
        };
        match self {
            Self::Points(points) => Some(points.clone()),
            Self::List(nodes) => nodes.iter().map(point).collect(),
            Self::Numbers(numbers) if numbers.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    /// A positive whole number of pixels.
    pub(super) fn side(&self) -> Option<u32> {
        let value = self.number()?;
        (value >= 1.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0).then_some(value as u32)
    }

    /// An identifier: a whole number or a text.
    pub(super) fn id(&self) -> Option<String> {
        match self {
            Self::Integer(value) => Some(value.to_string()),
            Self::Real(value) if value.fract() == 0.0 => Some(format!("{value}")),
            Self::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// Kind of value, in words.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Integer(_) | Self::Real(_) => "a number",
            Self::Text(_) => "a text",
            Self::Numbers(_) | Self::Points(_) | Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }

    /// The format that a file seems to have, as a pipeline names it.
    pub(super) fn looks_like(&self) -> Option<&'static str> {
        let has = |name| self.get(name).is_some();
        if has("annotations") && has("images") {
            Some("coco")
        } else if has("shapes") {
            Some("labelme")
        } else if has("features") || has("geometry") {
            Some("qupath")
        } else {
            None
        }
    }

    /// Adds the mistake that a member is missing from the file.
    pub(super) fn lacks(&self, name: &str, tool: &str, mistakes: &mut AnnotationMistakes) {
        match self.looks_like() {
            Some(format) => {
                mistakes.add("", format!("has no list `{name}` and is not {tool}; write `format {format}`"));
            }
            None => mistakes.add("", format!("has no list `{name}`, which {tool} has")),
        }
    }
}

impl<'de> Deserialize<'de> for JsonNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = JsonNode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<JsonNode, E> {
        Ok(JsonNode::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<JsonNode, E> {
        Ok(JsonNode::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<JsonNode, E> {
        Ok(JsonNode::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<JsonNode, E> {
        Ok(JsonNode::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<JsonNode, E> {
        Ok(JsonNode::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<JsonNode, E> {
        Ok(JsonNode::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<JsonNode, E> {
        Ok(JsonNode::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<JsonNode, A::Error> {
        let mut found = JsonNode::Numbers(Vec::new());
        while let Some(node) = seq.next_element::<JsonNode>()? {
            found = found.with(node);
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonNode, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == SKIPPED {
                map.next_value::<IgnoredAny>()?;
            } else {
                members.push((name, map.next_value()?));
            }
        }
        Ok(JsonNode::Map(members))
    }
}

impl JsonNode {
    /// A list with one more element.
    fn with(self, node: Self) -> Self {
        match (self, node) {
            (Self::Numbers(mut numbers), Self::Integer(value)) => {
                numbers.push(value as f64);
                Self::Numbers(numbers)
            }
            (Self::Numbers(mut numbers), Self::Real(value)) => {
                numbers.push(value);
                Self::Numbers(numbers)
            }
            (Self::Numbers(numbers), Self::Numbers(pair)) if numbers.is_empty() && pair.len() == 2 => {
                Self::Points(vec![[pair[0], pair[1]]])
            }
            (Self::Points(mut points), Self::Numbers(pair)) if pair.len() == 2 => {
                points.push([pair[0], pair[1]]);
                Self::Points(points)
            }
            (Self::List(mut nodes), node) => {
                nodes.push(node);
                Self::List(nodes)
            }
            (Self::Numbers(numbers), node) => {
                let mut nodes: Vec<Self> = numbers.into_iter().map(Self::Real).collect();
                nodes.push(node);
                Self::List(nodes)
            }
            (Self::Points(points), node) => {
                let mut nodes: Vec<Self> = points.into_iter().map(|point| Self::Numbers(point.to_vec())).collect();
                nodes.push(node);
                Self::List(nodes)
            }
            (other, _) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> JsonNode {
        parse(text, &mut AnnotationMistakes::of("a.json")).expect("JSON")
    }

    fn refused(text: &str) -> String {
        let mut mistakes = AnnotationMistakes::of("a.json");
        assert_eq!(parse(text, &mut mistakes), None, "{text}");
        mistakes.error("damaged-annotation").expect("a mistake").to_string()
    }

    #[test]
    fn lists_of_numbers_are_compact() {
        assert_eq!(of("[1, 2.5, -3]"), JsonNode::Numbers(vec![1.0, 2.5, -3.0]));
        assert_eq!(of("[[1, 2], [3, 4]]"), JsonNode::Points(vec![[1.0, 2.0], [3.0, 4.0]]));
        assert_eq!(of("[[1, 2], [3, 4, 5]]").points(), Some(vec![[1.0, 2.0], [3.0, 4.0]]), "a third number");
        assert_eq!(of("[[1, 2], [3]]").points(), None);
        assert_eq!(of("[]").points(), Some(Vec::new()));
        assert_eq!(of("[1, \"a\", [2]]").list().map(<[JsonNode]>::len), Some(3));
        assert_eq!(of("[[1, 2], null]").list().map(<[JsonNode]>::len), Some(2));
    }

    #[test]
    fn identifiers_keep_all_their_digits() {
        assert_eq!(of("18446744073709551615").id().as_deref(), Some("18446744073709551615"));
        assert_eq!(of("7.0").id().as_deref(), Some("7"));
        assert_eq!(of("\"a7\"").id().as_deref(), Some("a7"));
        assert_eq!(of("7.5").id(), None);
    }

    #[test]
    fn a_mistake_has_its_line_and_column() {
        assert!(
            refused("{\n \"a\": [1, 2}").contains("line 2, column 12: is not JSON"),
            "{}",
            refused("{\n \"a\": [1, 2}")
        );
        assert!(refused("{\"a\": [1.0, NaN]}").contains("`NaN` and `Infinity` are not JSON"));
        assert!(refused("[1e999]").contains("number out of range"));
        assert!(refused(&"[".repeat(100_000)).contains("recursion limit"));
    }
}
