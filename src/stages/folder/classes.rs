//! Classes of `folder` and the patterns of their masks.

use crate::data::class_names;
use crate::data::mask::MaskValue;
use crate::data::pattern::Pattern;
use crate::lang::value::Value;
use crate::stage::{Params, StageError};

/// A class and the pattern of its masks.
pub(super) struct ClassPattern<'a> {
    pub(super) name: &'a str,
    pub(super) pattern: Pattern<'a>,
    /// Its value, if its masks are those of several classes.
    pub(super) value: Option<MaskValue>,
}

impl ClassPattern<'_> {
    /// Parameter with its pattern.
    pub(super) fn field(&self) -> String {
        format!("masks.{}", self.name)
    }
}

/// Classes and their patterns, standard lesions first.
pub(super) fn classes(params: &Params) -> Result<Vec<ClassPattern<'_>>, StageError> {
    let mut classes = Vec::new();
    for (name, text) in params.map("masks").into_iter().flatten() {
        let Value::Text(text) = text else {
            return Err(StageError::Bug(format!("the pattern of `{name}` is not a text")));
        };
        let value = match params.map("mask-values").and_then(|values| values.get(name)) {
            Some(Value::Text(text)) => Some(MaskValue::of_param(name, text)?),
            _ => None,
        };
        classes.push(ClassPattern { name, pattern: Pattern::of_param(&format!("masks.{name}"), text)?, value });
    }
    for name in params.map("mask-values").into_iter().flatten().map(|(name, _)| name) {
        if !classes.iter().any(|class| class.name == name) {
            let text = format!("class `{name}` has a value, but no pattern in `masks`");
            let hint = format!("write e.g. `masks {name} \"masks/*.png\"`, the same pattern as for other classes");
            return Err(StageError::input("mask-value", text).hint(hint).field(format!("mask-values.{name}")));
        }
    }
    if classes.is_empty() {
        let hint = "write e.g. `masks MA \"masks/ma/*.png\"`";
        return Err(StageError::input("no-classes", "`masks` has no lesion class").hint(hint).field("masks"));
    }
    classes.sort_by_key(|class| class_names::order(class.name));
    let mut with_value = classes.iter().filter(|class| class.value.is_some());
    if let Some(first) = with_value.next()
        && let Some(other) = with_value.find(|class| class.pattern.text() != first.pattern.text())
    {
        let text = format!(
            "`{}` and `{}` have values in one mask, but different patterns: `{}` and `{}`",
            first.name,
            other.name,
            first.pattern.text(),
            other.pattern.text()
        );
        let hint =
            "write the same pattern for all classes of `mask-values`; a class with masks of its own needs no value";
        return Err(StageError::input("mask-value", text).hint(hint).field(other.field()));
    }
    let values: Vec<_> = classes.iter().filter_map(|class| Some((class.name, class.value?))).collect();
    let has_threshold = !matches!(params.get("mask-from"), Value::None);
    MaskValue::check(&values, has_threshold && classes.iter().all(|class| class.value.is_some()))?;
    let names: Vec<&str> = classes.iter().map(|class| class.name).collect();
    class_names::check(&names, &|class| format!("masks.{class}"))?;
    Ok(classes)
}
