//! Parameters of `manifest`: columns of the table and what each class is read from. Knows no rows.

use std::collections::BTreeMap;

use crate::data::class_names;
use crate::data::mask::MaskValue;
use crate::data::name_normalisation::normalised;
use crate::data::photographs::{LabelScheme, Official, WithoutMask};
use crate::data::slides::RegionSettings;
use crate::lang::value::Value;
use crate::stage::{Params, StageError};

/// What a row of the table means.
pub(super) struct ManifestSpec<'a> {
    /// Column with the paths of photographs.
    pub(super) path: &'a str,
    /// Text around the cell in the path of a photograph.
    pub(super) photographs: PathAround<'a>,
    /// Text around the cell in the path of a mask.
    pub(super) mask_files: PathAround<'a>,
    /// Column with names.
    pub(super) name: Option<&'a str>,
    /// Column with patients.
    pub(super) patient: Option<&'a str>,
    /// Column with the official split.
    pub(super) split: Option<&'a str>,
    /// Set of the official split by a cell, normalised; if empty, the usual words.
    pub(super) sides: BTreeMap<String, Official>,
    /// Column with the class, if a photograph has exactly one.
    pub(super) class: Option<&'a str>,
    /// Column with one mask of several classes.
    pub(super) mask: Option<&'a str>,
    /// Classes in label order.
    pub(super) classes: Vec<ClassColumns<'a>>,
    /// How they relate.
    pub(super) labels: LabelScheme,
    /// Meaning of an empty cell of a mask column; [`None`] if it is an error.
    pub(super) absent_mask: Option<WithoutMask>,
    /// How slides are divided into regions.
    pub(super) regions: Option<RegionSettings>,
}

/// What a class is read from.
pub(super) struct ClassColumns<'a> {
    pub(super) name: &'a str,
    /// Column with its label in the whole photograph.
    pub(super) label: Option<&'a str>,
    /// Column with the path of its mask.
    pub(super) mask: Option<&'a str>,
    /// Its value in the mask of several classes.
    pub(super) value: Option<MaskValue>,
    /// Cell of the column with the class.
    pub(super) cell: Option<&'a str>,
}

/// A path with one `*`.
#[derive(Clone, Copy)]
pub(super) struct PathAround<'a> {
    before: &'a str,
    after: &'a str,
}

impl<'a> PathAround<'a> {
    fn new(text: &'a str, field: &str) -> Result<Self, StageError> {
        match text.split('*').collect::<Vec<_>>()[..] {
            [before, after] => Ok(Self { before, after }),
            _ => Err(StageError::input("pattern", format!("`{text}` must have one `*`"))
                .hint("`*` stands for the cell, as in `images/*.png`")
                .field(field)),
        }
    }

    /// The path of a cell.
    pub(super) fn path(self, cell: &str) -> String {
        format!("{}{cell}{}", self.before, self.after)
    }
}

impl<'a> ManifestSpec<'a> {
    /// # Errors
    /// `manifest-columns` if parameters do not go together, `class-name`, `no-classes`, `mask-value`, `pattern`.
    pub(super) fn new(params: &'a Params) -> Result<Self, StageError> {
        let text = |name: &str| match params.get(name) {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let (class, mask) = (text("class"), text("mask"));
        together(params, class.is_some(), mask.is_some())?;
        let ordered = params.flag("ordered")?;
        Ok(Self {
            path: params.text("path")?,
            photographs: PathAround::new(params.text("photographs")?, "photographs")?,
            mask_files: PathAround::new(params.text("mask-files")?, "mask-files")?,
            name: text("name"),
            patient: text("patient"),
            split: text("split"),
            sides: sides(params)?,
            class,
            mask,
            classes: classes(params)?,
            labels: match (class, ordered) {
                (None, _) => LabelScheme::MultiLabel,
                (Some(_), false) => LabelScheme::Single,
                (Some(_), true) => LabelScheme::Grades,
            },
            absent_mask: match params.text("absent-mask")? {
                "absent" => Some(WithoutMask::Absent),
                "unknown" => Some(WithoutMask::Unknown),
                _ => None,
            },
            regions: RegionSettings::of(params)?,
        })
    }

    /// Columns that are read, each with its parameter.
    pub(super) fn columns(&self) -> Vec<(&'a str, String)> {
        let single = [
            (Some(self.path), "path"),
            (self.name, "name"),
            (self.patient, "patient"),
            (self.split, "split"),
            (self.class, "class"),
            (self.mask, "mask"),
        ];
        let single = single.into_iter().filter_map(|(column, field)| Some((column?, field.to_owned())));
        let of_class = |class: &ClassColumns<'a>| {
            let of = |column: Option<&'a str>, param: &str| Some((column?, format!("{param}.{}", class.name)));
            [of(class.label, "labels"), of(class.mask, "masks")]
        };
        single.chain(self.classes.iter().flat_map(of_class).flatten()).collect()
    }
}

/// Refuses parameters that need or exclude each other.
fn together(params: &Params, class: bool, mask: bool) -> Result<(), StageError> {
    let given = |name: &str| params.map(name).is_some_and(|map| !map.is_empty());
    let wrong = |text: &str, hint: &str, field: &str| {
        Err(StageError::input("manifest-columns", text.to_owned()).hint(hint.to_owned()).field(field.to_owned()))
    };
    if class != given("class-values") {
        let field = if class { "class" } else { "class-values" };
        let hint = "write e.g. `class \"diagnosis\"` and `class-values none \"0\" mild \"1\"`";
        return wrong("`class` and `class-values` need each other", hint, field);
    }
    if mask != given("mask-values") {
        let field = if mask { "mask" } else { "mask-values" };
        let hint = "write e.g. `mask \"mask_path\"` and `mask-values MA \"1\" HE \"2\"`";
        return wrong("`mask` and `mask-values` need each other", hint, field);
    }
    if class && (given("labels") || given("masks") || mask) {
        let hint = "with `class`, each photograph has exactly one class; remove the other labels";
        return wrong("`class` cannot be combined with `labels`, `masks` or `mask`", hint, "class");
    }
    if !class && params.flag("ordered")? {
        return wrong("`ordered` is a parameter of `class`", "remove `ordered`, or add `class`", "ordered");
    }
    let is_number =
        |value: &Value| matches!(value, Value::Text(text) if text.trim().parse::<f64>().is_ok_and(f64::is_finite));
    let other = params.map("class-values").into_iter().flatten().find(|(_, value)| !is_number(value));
    if let Some((name, _)) = other.filter(|_| params.flag("ordered").unwrap_or(false)) {
        let hint = "grades are in the order of their cells: write numbers in the table, as in `class-values none \"0\" mild \"1\"`";
        return wrong("`ordered` needs a number as the cell of each class", hint, &format!("class-values.{name}"));
    }
    if given("sides") && matches!(params.get("split"), Value::None) {
        return wrong("`sides` needs the column of the split", "write e.g. `split \"fold\"`", "sides");
    }
    Ok(())
}

/// Classes in label order: by their cells if a photograph has one, otherwise standard lesions first.
fn classes(params: &Params) -> Result<Vec<ClassColumns<'_>>, StageError> {
    let mut found: BTreeMap<&str, ClassColumns<'_>> = BTreeMap::new();
    let mut field_of: BTreeMap<&str, String> = BTreeMap::new();
    for param in ["labels", "masks", "mask-values", "class-values"] {
        for (name, value) in params.map(param).into_iter().flatten() {
            let Value::Text(text) = value else {
                return Err(StageError::Bug(format!("`{param}.{name}` is not a text")));
            };
            field_of.entry(name).or_insert_with(|| format!("{param}.{name}"));
            let class = found.entry(name).or_insert_with(|| ClassColumns::unknown(name));
            match param {
                "labels" => class.label = Some(text),
                "masks" => class.mask = Some(text),
                "mask-values" => class.value = Some(MaskValue::of_param(name, text)?),
                _ => class.cell = Some(text),
            }
        }
    }
    for name in params.list("unknown") {
        let Value::Text(name) = name else {
            return Err(StageError::Bug("`unknown` is not a list of texts".to_owned()));
        };
        if found.insert(name, ClassColumns::unknown(name)).is_some() {
            let text = format!("class `{name}` is `unknown`, but the table has labels of it");
            return Err(StageError::input("manifest-columns", text).hint("remove one of them").field("unknown"));
        }
        field_of.insert(name, "unknown".to_owned());
    }
    if let Some(class) = found.values().find(|class| class.mask.is_some() && class.value.is_some()) {
        let text = format!("class `{}` has a mask of its own and a value in the common mask", class.name);
        return Err(StageError::input("manifest-columns", text)
            .hint("use `masks` or `mask-values` for it")
            .field(format!("masks.{}", class.name)));
    }
    let mut classes: Vec<ClassColumns<'_>> = found.into_values().collect();
    let values: Vec<_> = classes.iter().filter_map(|class| Some((class.name, class.value?))).collect();
    let has_threshold = !matches!(params.get("mask-from"), Value::None);
    MaskValue::check(&values, has_threshold && classes.iter().all(|class| class.mask.is_none()))?;
    if classes.is_empty() {
        let hint = "name the columns with labels: `labels MA \"ma\"`, `masks`, `class`; or the classes of a classifier: `unknown MA HE EX SE`";
        return Err(StageError::input("no-classes", "`manifest` has no class").hint(hint));
    }
    // Those with a cell come first, so that the order is the same whatever else there is.
    classes.sort_by(|one, other| match (one.cell, other.cell) {
        (Some(one), Some(other)) => by_cell(one, other),
        (None, None) => class_names::order(one.name).cmp(&class_names::order(other.name)),
        (one, other) => other.is_some().cmp(&one.is_some()),
    });
    if let Some(pair) = classes
        .windows(2)
        .find(|pair| pair[0].cell.zip(pair[1].cell).is_some_and(|(one, other)| by_cell(one, other).is_eq()))
    {
        let text = format!("classes `{}` and `{}` have the same cell", pair[0].name, pair[1].name);
        return Err(StageError::input("manifest-columns", text)
            .hint("give each class a cell of its own")
            .field(format!("class-values.{}", pair[1].name)));
    }
    let names: Vec<&str> = classes.iter().map(|class| class.name).collect();
    class_names::check(&names, &|class| field_of.get(class).cloned().unwrap_or_default())?;
    Ok(classes)
}

impl<'a> ClassColumns<'a> {
    const fn unknown(name: &'a str) -> Self {
        Self { name, label: None, mask: None, value: None, cell: None }
    }
}

/// Order of cells: numbers by value, before texts.
pub(super) fn by_cell(one: &str, other: &str) -> std::cmp::Ordering {
    let number = |cell: &str| cell.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => normalised(one.trim()).cmp(&normalised(other.trim())),
    }
}

fn sides(params: &Params) -> Result<BTreeMap<String, Official>, StageError> {
    let mut found = BTreeMap::new();
    for (side, cells) in params.map("sides").into_iter().flatten() {
        let Some(official) = Official::named(side) else {
            return Err(StageError::input("manifest-columns", format!("`{side}` is not a set of a split"))
                .hint("the sets are `train`, `valid` and `test`")
                .field(format!("sides.{side}")));
        };
        let cells = match cells {
            Value::List(cells) => cells.as_slice(),
            one => std::slice::from_ref(one),
        };
        for cell in cells {
            let cell = cell.to_string();
            let cell = cell.trim_matches('"');
            if found.insert(normalised(cell), official).is_some_and(|other| other != official) {
                let text = format!("`{cell}` means two sets");
                return Err(StageError::input("manifest-columns", text)
                    .hint("list each cell once")
                    .field(format!("sides.{side}")));
            }
        }
    }
    Ok(found)
}
