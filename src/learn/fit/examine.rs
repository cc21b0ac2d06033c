//! Checks of data and settings before the first step. Knows no network.

use super::FitNotes;
use super::settings::{ClassifierSettings, SelectBy, label_counts};
use super::task::FitTask;
use crate::data::patches::PatchSet;
use crate::learn::model::LabelCounts;
use crate::stage::StageError;

/// Refuses training and validation patches of which either are none, or which are of different classes or sides.
///
/// # Errors
/// [`StageError::Input`], `other-classes` or `empty-set`.
pub fn comparable(data: &PatchSet, valid: &PatchSet) -> Result<(), StageError> {
    let classes = &data.info.classes;
    if data.info.classes != valid.info.classes || data.info.size != valid.info.size {
        let text = format!(
            "training patches are {} px with classes {}, validation patches {} px with classes {}",
            data.info.size,
            classes.join(" "),
            valid.info.size,
            valid.info.classes.join(" ")
        );
        return Err(StageError::input("other-classes", text).field("valid"));
    }
    if data.info.labels != valid.info.labels {
        let text =
            "patches of one of training and validation set have exactly one class each, those of the other do not";
        let hint = "use parts of one data set, or sources with the same `class` and `ordered`";
        return Err(StageError::input("other-classes", text).hint(hint).field("valid"));
    }
    for (set, field, what) in [(data, "data", "training"), (valid, "valid", "validation")] {
        if set.is_empty() {
            return Err(StageError::input("empty-set", format!("there are no {what} patches")).field(field));
        }
    }
    Ok(())
}

/// Refuses a loss over exclusive classes on patches that may have several.
fn exclusive(settings: &ClassifierSettings, data: &PatchSet) -> Result<(), StageError> {
    if !settings.loss.exclusive || !data.info.labels.is_multi_label() {
        return Ok(());
    }
    let text = "`loss cross-entropy` needs exactly one class per patch, but these patches may have several or none";
    let hint = "use `loss bce`, or photographs with one class each: `manifest` with `class`";
    Err(StageError::input("not-exclusive", text).hint(hint).field("loss"))
}

/// Checks the data and settings of a classifier before the first step.
pub(super) fn examine(
    task: &FitTask<'_>,
    settings: &ClassifierSettings,
    labels: &[LabelCounts],
    notes: &mut FitNotes,
) -> Result<(), StageError> {
    let (data, valid) = (&task.data.set, &task.valid.set);
    comparable(data, valid)?;
    exclusive(settings, data)?;
    let classes = &data.info.classes;
    for (class, _) in classes.iter().zip(labels).filter(|(_, count)| count.present == 0) {
        notes.warn("no-positives", format!("no training patch is positive for `{class}`: the class cannot be learned"));
    }
    let there = label_counts(valid);
    for (class, _) in classes.iter().zip(&there).filter(|(_, count)| count.present == 0) {
        notes.warn("no-positives", format!("no validation patch is positive for `{class}`: its metrics are undefined"));
    }
    let needs = !matches!(settings.choose, SelectBy::Loss | SelectBy::Last);
    if needs && there.iter().all(|count| count.present == 0) {
        let text = format!(
            "no validation patch is positive for any class: cannot select an epoch by {}",
            settings.choose.words()
        );
        let hint = "validate on photographs with lesions, or set `choose loss` or `choose last`";
        return Err(StageError::input("no-positives", text).hint(hint).field("valid"));
    }
    if let Some((wanted, healthy)) = settings.sampler.healthy(data).filter(|(wanted, there)| wanted > there) {
        let text =
            format!("the sampler needs {wanted} healthy patches per epoch, but there are only {healthy}: all are used");
        notes.warn("healthy-ratio", text);
    }
    if settings.sampler.epoch(data, task.streams, 1).is_empty() {
        let text = "the sampler draws no patches: no training patch has a lesion";
        return Err(StageError::input("empty-set", text).field("sampler"));
    }
    Ok(())
}
