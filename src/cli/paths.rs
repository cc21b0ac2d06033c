//! Paths that a pipeline's sources name and that do not exist. The language reads no data; `check` looks whether it is there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::diag::Diag;
use crate::lang::spec::Contents;
use crate::lang::value::Value;
use crate::run::Host;
use crate::stage::Work;

/// Warns of each path that leads nowhere, in order of place.
pub(super) fn missing(host: &Host, file: &Path, contents: &Contents, diags: &mut Vec<Diag>) {
    let folder = host.project(file);
    let registry = crate::stages::registry();
    let is_source =
        |name: &str| registry.iter().any(|known| known.name == name && matches!(known.work, Work::Source(_)));
    let of_sweeps = contents.sweeps.iter().flat_map(|sweep| sweep.points.iter().map(|point| &point.pipeline));
    let stages = contents.pipelines.iter().chain(of_sweeps).flat_map(|pipeline| &pipeline.stages);
    let mut told = BTreeSet::new();
    for stage in stages.filter(|stage| is_source(&stage.implementation)) {
        for (name, param) in &stage.params {
            let Value::Path(path) = &param.value else { continue };
            let span = stage.place(Some(name));
            if folder.join(path).symlink_metadata().is_ok() || !told.insert((span, path.clone())) {
                continue;
            }
            let hint = home(path, host)
                .unwrap_or_else(|| format!("relative paths start from the project folder, `{}`", folder.display()));
            let text = format!("`{path}` does not exist");
            let code = if Path::new(path).extension().is_some() { "missing-file" } else { "missing-folder" };
            diags.push(Diag::warning(code, span, text).hint(hint));
        }
    }
    diags.sort_by_key(|diag| diag.labels.first().map(|label| (label.span.file, label.span.start, label.span.end)));
}

/// What to write for a path that begins with `~`, which only shells expand.
fn home(path: &str, host: &Host) -> Option<String> {
    let rest = path.strip_prefix('~')?;
    let whole = match (host.variable("HOME"), rest.strip_prefix('/')) {
        (Some(home), Some(rest)) => format!("{}/{rest}", home.trim_end_matches('/')),
        _ => return Some("`~` is expanded by shells only: write the whole path".to_owned()),
    };
    Some(format!("`~` is expanded by shells only: write `\"{whole}\"`"))
}
