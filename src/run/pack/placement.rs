//! Where the files of a project lie in a pack, and the texts of its pipelines with paths that hold there: what a pipeline names
//! outside its project is placed in `data/`. Reads no data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use super::PackError;
use super::contents::PROJECT;
use crate::base::{FileId, Sources, Span};
use crate::lang::package;
use crate::lang::project::{self, ProjectFile};
use crate::lang::spec::{Pipeline, StageSpec};
use crate::lang::value::Value;

/// Folder, in the project of a pack, of what lies outside the project here.
const DATA: &str = "data";

/// Folder of packages in the project of a pack.
const PACKAGES: &str = "packages";

/// Where files lie in a pack.
#[derive(Debug)]
pub(super) struct PackPlacement {
    /// The project's folder.
    project: PathBuf,
    /// The folder that becomes `project/` in the pack: that of the project, or one above it.
    base: PathBuf,
    /// Files and folders outside the project, and their paths in the project of the pack.
    outside: BTreeMap<PathBuf, String>,
    /// Replacements in texts.
    edits: BTreeMap<(FileId, usize), (usize, String)>,
}

/// A path without `.` and `..`, as far as that is known without reading a disk.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}

impl PackPlacement {
    /// The placement of a pipeline's project. `here` is the working folder, from which the paths of texts start.
    ///
    /// # Errors
    /// [`PackError`] if a path that must change cannot be changed.
    pub(super) fn new(here: &Path, project: &Path, pipeline: &Pipeline, sources: &Sources) -> Result<Self, PackError> {
        let project = plain(&here.join(project));
        let mut base = project.clone();
        for (_, source) in sources.iter() {
            let Some(path) = source.path.as_ref().filter(|_| !is_packaged(&source.name)) else { continue };
            let path = plain(&here.join(path));
            while !path.starts_with(&base) && base.pop() {}
        }
        let mut placement = Self { project, base, outside: BTreeMap::new(), edits: BTreeMap::new() };
        placement.outside = placement.outside_of(pipeline);
        for stage in &pipeline.stages {
            placement.edit(stage, sources)?;
        }
        Ok(placement)
    }

    /// Everything outside the project that a stage names, and its new place. Names of files stay: they may matter.
    fn outside_of(&self, pipeline: &Pipeline) -> BTreeMap<PathBuf, String> {
        let mut named: BTreeSet<PathBuf> =
            paths_of(pipeline).map(|(_, path)| plain(&self.project.join(path))).collect();
        named.retain(|path| !path.starts_with(&self.project));
        let mut found: BTreeMap<PathBuf, String> = BTreeMap::new();
        for path in named {
            // What contains others comes before them.
            let above = found.iter().find_map(|(root, new)| Some((path.strip_prefix(root).ok()?, new)));
            let new = if let Some((rest, new)) = above {
                format!("{new}/{}", rest.display())
            } else {
                let name = path.file_name().map_or_else(|| "external".into(), |name| name.to_string_lossy());
                let candidates = (1..).map(|number| match number {
                    1 => format!("{DATA}/{name}"),
                    number => format!("{DATA}/{number}/{name}"),
                });
                let is_free =
                    |new: &String| !found.values().any(|other| other == new) && !self.project.join(new).exists();
                candidates.into_iter().find(is_free).unwrap_or_default()
            };
            found.insert(path, new);
        }
        found
    }

    /// Notes how the text of a stage changes.
    fn edit(&mut self, stage: &StageSpec, sources: &Sources) -> Result<(), PackError> {
        for (name, param) in &stage.params {
            let Value::Path(written) = &param.value else { continue };
            let Some(new) = self.path_in_project(written) else { continue };
            let unchangeable = || {
                PackError::user(
                    format!("`{name}` of `{}` is `{written}`, which only this machine has", stage.name),
                    "write the path itself, between quotes, in the stage: the pack contains a path that holds everywhere",
                )
            };
            let Some(Span { file, start, end }) = param.span else { return Err(unchangeable()) };
            let source = sources.get(file);
            let quoted = format!("\"{written}\"");
            let text = source.text.get(start..end).filter(|_| source.path.is_some()).unwrap_or_default();
            // The span of a value may be that of its whole line.
            let [(at, _)] = text.match_indices(&quoted).collect::<Vec<_>>()[..] else { return Err(unchangeable()) };
            self.edits.insert((file, start + at), (quoted.len(), format!("\"{new}\"")));
        }
        Ok(())
    }

    /// The path by which a pack's pipeline names what this one names; [`None`] if it stays as it is.
    fn path_in_project(&self, written: &str) -> Option<String> {
        let path = plain(&self.project.join(written));
        match path.strip_prefix(&self.project) {
            Ok(_) if Path::new(written).is_relative() => None,
            Ok(inside) if inside == Path::new("") => Some(".".to_owned()),
            Ok(inside) => Some(inside.display().to_string()),
            Err(_) => self.outside.get(&path).cloned(),
        }
    }

    /// The path that a pack's pipeline names, for one that this pipeline names.
    #[must_use]
    pub(super) fn named(&self, written: &str) -> String {
        self.path_in_project(written).unwrap_or_else(|| written.to_owned())
    }

    /// The project's folder in the pack.
    #[must_use]
    pub(super) fn project(&self) -> String {
        self.below_base(&self.project).unwrap_or_else(|| PROJECT.to_owned())
    }

    /// The path of a file in the pack; [`None`] if it is neither in the project nor below a path that a stage names.
    #[must_use]
    pub(super) fn of(&self, file: &Path) -> Option<String> {
        let file = plain(file);
        if file.starts_with(&self.project) {
            return self.below_base(&file);
        }
        let (rest, new) = self.outside.iter().find_map(|(root, new)| Some((file.strip_prefix(root).ok()?, new)))?;
        let new = if rest == Path::new("") { new.clone() } else { format!("{new}/{}", rest.to_str()?) };
        Some(format!("{}/{new}", self.project()))
    }

    fn below_base(&self, path: &Path) -> Option<String> {
        let rest = path.strip_prefix(&self.base).ok()?.to_str()?;
        Some(if rest.is_empty() { PROJECT.to_owned() } else { format!("{PROJECT}/{rest}") })
    }

    /// The texts of a pipeline and of everything that it imports, with its `project.kdl`, by path in the pack.
    ///
    /// # Errors
    /// [`PackError`] if a package cannot be read.
    pub(super) fn texts(&self, here: &Path, sources: &Sources) -> Result<BTreeMap<String, String>, PackError> {
        let mut texts = BTreeMap::new();
        let settings = self.project.join(project::FILE);
        for (id, source) in sources.iter() {
            let Some(path) = source.path.as_ref().filter(|_| !is_packaged(&source.name)) else { continue };
            let path = plain(&here.join(path));
            if path != settings
                && let Some(place) = self.below_base(&path)
            {
                texts.insert(place, self.edited(id, &source.text));
            }
        }
        let mut own = Sources::default();
        let settings = project::read(&settings, &mut own).map(|(settings, _)| settings).ok();
        let mut text = String::from("// The settings of the pipeline's project, without its store and its remotes.\n");
        if let Some(settings) = settings {
            text.push_str(&self.settings(&settings, sources, &mut texts)?);
        }
        texts.insert(format!("{}/{}", self.project(), project::FILE), text);
        Ok(texts)
    }

    /// The settings that a pipeline needs elsewhere; adds the texts of the packages that it uses.
    fn settings(
        &self,
        settings: &ProjectFile,
        sources: &Sources,
        texts: &mut BTreeMap<String, String>,
    ) -> Result<String, PackError> {
        let mut text = settings.switches();
        for package in &settings.packages {
            let prefix = format!("{}:", package.name);
            if !sources.iter().any(|(_, source)| source.name.starts_with(&prefix)) {
                continue;
            }
            let files = package.folder(settings).ok_or_else(String::new).and_then(|folder| package::read(&folder));
            let files = files.map_err(|why| PackError::user(format!("package `{}`: {why}", package.name), ""))?;
            let digest = package::written(&package::digest(&files));
            let folder = format!("{PACKAGES}/{}", package.name);
            let name = &package.name;
            let _ = writeln!(text, "package {name} {{\n    path \"{folder}\"\n    digest \"{digest}\"\n}}");
            let at = |name: String| format!("{}/{folder}/{name}", self.project());
            texts.extend(files.into_iter().map(|(name, text)| (at(name), text)));
        }
        Ok(text)
    }

    fn edited(&self, file: FileId, text: &str) -> String {
        let mut edited = text.to_owned();
        let all = (file, 0)..(FileId(file.0 + 1), 0);
        for ((_, at), (length, new)) in self.edits.range(all).rev() {
            edited.replace_range(*at..at + length, new);
        }
        edited
    }
}

/// Whether a text is a file of a package: `shared:parts.kdl`.
fn is_packaged(name: &str) -> bool {
    name.split_once(':').is_some_and(|(package, _)| crate::lang::is_name(package))
}

/// The paths that sources name, with the stage.
fn paths_of(pipeline: &Pipeline) -> impl Iterator<Item = (&StageSpec, &str)> {
    pipeline.stages.iter().flat_map(|stage| {
        stage.params.values().filter_map(move |param| match &param.value {
            Value::Path(path) => Some((stage, path.as_str())),
            _ => None,
        })
    })
}
