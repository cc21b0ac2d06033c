//! What is said of a path of a source that does not exist, by `check` and by a run alike. Looks at no other file.

use std::path::Path;

use super::Host;

/// A path that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPath {
    /// Its code in the catalogue.
    pub code: &'static str,
    /// What is wrong.
    pub text: String,
    /// What to do about it; none for an absolute path.
    pub hint: Option<String>,
}

/// What is said of `path`, which is relative to the folder `project` or absolute. `code` says what was looked for.
#[must_use]
pub fn missing(code: &'static str, path: &Path, project: &Path, host: &Host) -> MissingPath {
    let path = path.strip_prefix(project).unwrap_or(path);
    let hint = home(path, host).or_else(|| (!path.is_absolute()).then(|| relative(path, project, host)));
    MissingPath { code, text: format!("`{}` does not exist", path.display()), hint }
}

fn relative(path: &Path, project: &Path, host: &Host) -> String {
    let start = format!("relative paths start from the project folder, `{}`", project.display());
    if project == host.folder || host.folder.join(path).symlink_metadata().is_err() {
        return start;
    }
    let whole = host.folder.join(path);
    if project.starts_with(&host.folder) {
        return format!(
            "{start}; for `{}`, write an empty `project.kdl` in the current folder, which makes it the project",
            whole.display()
        );
    }
    format!("{start}; for the one in the current folder, write `\"{}\"`", whole.display())
}

/// What to write for a path that begins with `~`, which only shells expand.
fn home(path: &Path, host: &Host) -> Option<String> {
    let rest = path.to_str()?.strip_prefix('~')?;
    let whole = match (host.variable("HOME"), rest.strip_prefix('/')) {
        (Some(home), Some(rest)) => format!("{}/{rest}", home.trim_end_matches('/')),
        _ => return Some("`~` is expanded by shells only: write the whole path".to_owned()),
    };
    Some(format!("`~` is expanded by shells only: write `\"{whole}\"`"))
}
