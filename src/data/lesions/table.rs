//! Parquet tables of lesions.
//!
//! Columns of a photograph's table: `photograph`, `digest`, `patient`, `class`, `number`, `area` (native pixels), `pixels`, `left`, `top`,
//! `right`, `bottom` (one past the last column and row), `x`, `y` (centre), `rim`, `disc` (null if not annotated), all but `area` in pixels
//! of the photograph. Facts about the photograph are in the footer, so that a table without rows keeps them.

use std::collections::BTreeMap;

use super::{LesionComponent, PhotographLesions};
use crate::base::Digest;
use crate::data::bitmap::Rect;
use crate::data::table::{Column, Columns, TableError, all};
use crate::stage::StageError;

impl PhotographLesions {
    /// The table of its lesions as a Parquet file.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it cannot be written.
    pub fn to_parquet(&self) -> Result<Vec<u8>, StageError> {
        let bug = |error: &dyn std::fmt::Display| StageError::Bug(error.to_string());
        let (digest, scale) = (self.digest.to_string(), self.scale.to_string());
        let [width, height] = self.size.map(|side| side.to_string());
        let classes = serde_json::to_string(&self.classes).map_err(|error| bug(&error))?;
        let mut facts = vec![("classes", classes.as_str()), ("digest", &digest), ("height", &height)];
        facts.extend(self.patient.as_deref().map(|patient| ("patient", patient)));
        facts.extend([("scale", scale.as_str()), ("width", &width)]);
        let constant = |text: Option<&str>| Column::Text(vec![text.map(str::to_owned); self.lesions.len()]);
        let class = |lesion: &LesionComponent| self.classes.get(lesion.class).map(|(name, _)| name.clone());
        let mut table = Columns::default();
        table.push("photograph", constant(Some(&self.photograph)));
        table.push("digest", constant(Some(&digest)));
        table.push("patient", constant(self.patient.as_deref()));
        table.push("class", Column::Text(self.lesions.iter().map(class).collect()));
        table.push("number", self.counts(|lesion| lesion.number));
        table.push("area", self.counts(|lesion| lesion.area));
        table.push("pixels", self.counts(|lesion| lesion.pixels));
        table.push("left", self.counts(|lesion| lesion.bounds.left as u32));
        table.push("top", self.counts(|lesion| lesion.bounds.top as u32));
        table.push("right", self.counts(|lesion| lesion.bounds.right as u32));
        table.push("bottom", self.counts(|lesion| lesion.bounds.bottom as u32));
        for (axis, name) in ["x", "y"].into_iter().enumerate() {
            let centres = self.lesions.iter().map(|lesion| Some(lesion.centre[axis]));
            table.push(name, Column::Real(centres.collect()));
        }
        table.push("rim", Column::Single(self.lesions.iter().map(|lesion| Some(lesion.rim)).collect()));
        table.push("disc", Column::Single(self.lesions.iter().map(|lesion| lesion.disc).collect()));
        table.to_parquet_with(&facts).map_err(|error| bug(&error))
    }

    fn counts(&self, value: impl Fn(&LesionComponent) -> u32) -> Column {
        Column::Count(self.lesions.iter().map(|lesion| Some(value(lesion))).collect())
    }

    /// Reads the table of photograph `name` from a Parquet file.
    ///
    /// # Errors
    /// `foreign-table` if macula did not write the bytes.
    pub fn from_parquet(name: &str, bytes: &[u8]) -> Result<Self, StageError> {
        let foreign = |reason: &str| {
            StageError::input("foreign-table", format!("not a table of lesions written by macula: `{name}`: {reason}"))
        };
        let wrong = |error: TableError| foreign(&error.to_string());
        let (table, facts) = Columns::from_parquet_with(bytes).map_err(wrong)?;
        let classes: Option<Vec<(String, bool)>> =
            facts.get("classes").and_then(|classes| serde_json::from_str(classes).ok());
        let classes = classes.ok_or_else(|| foreign("no classes"))?;
        let digest: Option<Digest> = facts.get("digest").and_then(|digest| digest.parse().ok());
        let number = |fact: &str| number(&facts, fact).ok_or_else(|| foreign(fact));
        let counts = |column: &str| table.counts(column).and_then(|values| all(column, values)).map_err(wrong);
        let reals = |column: &str| table.reals(column).and_then(|values| all(column, values)).map_err(wrong);
        let names = table.texts("class").and_then(|values| all("class", values)).map_err(wrong)?;
        let rims = table.singles("rim").and_then(|values| all("rim", values)).map_err(wrong)?;
        let discs = table.singles("disc").map_err(wrong)?;
        let (numbers, areas, pixels) = (counts("number")?, counts("area")?, counts("pixels")?);
        let [left, top, right, bottom] = ["left", "top", "right", "bottom"].map(counts);
        let (left, top, right, bottom) = (left?, top?, right?, bottom?);
        let (x, y) = (reals("x")?, reals("y")?);
        let lesion = |at: usize| -> Result<LesionComponent, StageError> {
            let class = classes.iter().position(|(class, _)| *class == names[at]);
            Ok(LesionComponent {
                class: class.ok_or_else(|| foreign(&format!("unknown class `{}`", names[at])))?,
                number: numbers[at],
                pixels: pixels[at],
                area: areas[at],
                bounds: Rect {
                    left: left[at] as usize,
                    top: top[at] as usize,
                    right: right[at] as usize,
                    bottom: bottom[at] as usize,
                },
                centre: [x[at], y[at]],
                rim: rims[at],
                disc: discs[at],
            })
        };
        Ok(Self {
            photograph: name.to_owned(),
            digest: digest.ok_or_else(|| foreign("no digest"))?,
            patient: facts.get("patient").cloned(),
            size: [number("width")?, number("height")?],
            scale: number("scale")?,
            lesions: (0..names.len()).map(lesion).collect::<Result<_, _>>()?,
            classes,
        })
    }
}

fn number(facts: &BTreeMap<String, String>, name: &str) -> Option<u32> {
    facts.get(name)?.parse().ok()
}
