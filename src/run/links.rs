//! Links a run's results under readable names. A failure is a warning and does not fail the run.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::{Event, Host, Project, Watch, results};
use crate::plan::{Engine, StageResults};
use crate::stage::Warning;

/// Links the known outputs of a pipeline's stages. If all of them are linked, returns the folder, relative to the working
/// folder if it is below it.
pub(super) fn link(
    host: &Host,
    project: &Project,
    engine: &Engine,
    known: &StageResults,
    watch: &dyn Watch,
) -> Option<String> {
    let folder = results::folder(&project.folder, &project.pipeline.name);
    let keyed: Vec<_> = known.iter().filter(|(_, known)| known.key.is_some()).collect();
    let warn = |stage: &str, text: String| {
        let warning = Warning { code: "results-links".into(), text };
        watch.event(&Event::Warned { stage: stage.to_owned(), warning });
    };
    let first = keyed.first().map(|(id, _)| engine.stage(**id).name.clone())?;
    for (place, target) in led_elsewhere(&project.folder, &folder) {
        warn(&first, format!("`{place}` is a symbolic link; results are linked in `{target}`"));
    }
    let made = std::fs::create_dir_all(&folder).is_ok();
    let _held = made.then(|| results::lock(&folder, &engine.store.objects));
    if made {
        results::own(&project.folder, &folder, &host.folder.join(&project.file));
    }
    let mut linked: BTreeMap<(u64, u64), String> = BTreeMap::new();
    let mut all = true;
    for (id, known) in keyed {
        let stage = engine.stage(*id).name.clone();
        let place = folder.join(&stage);
        let other = results::identity(&place).and_then(|place| linked.get(&place));
        let done = match other {
            Some(other) => Err(io::Error::other(format!(
                "`{other}` and `{stage}` collide on this case-insensitive file system; rename one"
            ))),
            None => results::link(&folder, engine, *id, known),
        };
        match done {
            Ok(renamed) => {
                for results::Renamed { name, now } in renamed {
                    let (name, now) = (place.join(name), now.display());
                    warn(
                        &stage,
                        format!(
                            "`{}` was edited since the last run; the edited file is kept as `{now}`",
                            name.display()
                        ),
                    );
                }
                linked.extend(results::identity(&place).map(|identity| (identity, stage)));
            }
            Err(error) => {
                warn(&stage, format!("cannot link the results of `{stage}` in `{}`: {error}", folder.display()));
                all = false;
                // A system error will recur for the other stages.
                if error.kind() != io::ErrorKind::Other {
                    break;
                }
            }
        }
    }
    (all && folder.is_dir()).then(|| host.shown(&folder).to_string())
}

/// The folders from the project's to the results' that are symbolic links, and their targets.
fn led_elsewhere(project: &Path, folder: &Path) -> Vec<(String, String)> {
    let within = folder.ancestors().take_while(|place| *place != project);
    let links = within.filter_map(|place| Some((place, std::fs::read_link(place).ok()?)));
    let shown = |place: &Path| place.strip_prefix(project).unwrap_or(place).display().to_string();
    links.map(|(place, target)| (shown(place), target.display().to_string())).collect()
}
