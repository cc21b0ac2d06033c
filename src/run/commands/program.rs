//! Location of a command's program: which files it needs, and whether it belongs to the project.

use std::path::{Path, PathBuf};

/// Folders of an installed program that hold code and no secrets.
const CODE: [&str; 5] = ["bin", "lib", "lib32", "lib64", "libexec"];

/// The files that a program needs. Of a program in `DIR/bin`, that is all of `DIR` if it is a Python or conda
/// environment or a Python installation, else its code folders; never a home folder or a folder above one. Targets of
/// links are included. Of a program in the project's folder, it is only the program itself: its neighbours are not part
/// of any key.
pub(super) fn beside(program: &Path, homes: &[PathBuf], project: &Path) -> Vec<PathBuf> {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    // A virtual environment names the installation that it was created from.
    let home = program.parent().and_then(Path::parent).map(|root| root.join("pyvenv.cfg"));
    let base = home.and_then(|file| std::fs::read_to_string(file).ok()).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("home")?.trim_start().strip_prefix('='))?;
        Some(PathBuf::from(line.trim()).join("python"))
    });
    let base = base.into_iter().flat_map(|base| [base.canonicalize().ok(), Some(base)]).flatten();
    let all = [program.to_owned(), real].into_iter().chain(base);
    all.flat_map(|program| own_files(&program, homes, project)).collect()
}

fn own_files(program: &Path, homes: &[PathBuf], project: &Path) -> Vec<PathBuf> {
    let mut own = vec![program.to_owned()];
    let root = program.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent);
    let Some(root) = root.filter(|root| !holds_home(root, homes)) else { return own };
    if is_environment(root) || is_python(root) {
        own.push(root.to_owned());
        return own;
    }
    if project.parent().is_some() && below(root, project) {
        return own;
    }
    own.extend(CODE.map(|folder| root.join(folder)).into_iter().filter(|folder| folder.is_dir()));
    // `share` in a home's `.local` holds keyrings and histories.
    let share = root.join("share");
    if share.is_dir() && !homes.iter().any(|home| below(root, home)) {
        own.push(share);
    }
    own
}

/// Whether a folder is a home folder or contains one; the root folder contains all.
fn holds_home(folder: &Path, homes: &[PathBuf]) -> bool {
    folder.parent().is_none() || homes.iter().any(|home| below(home, folder))
}

/// Whether a path is in a folder, or is it, by name or after resolving links.
fn below(path: &Path, folder: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.starts_with(folder) || real(path).starts_with(real(folder))
}

/// Whether a folder is a Python or conda environment.
fn is_environment(root: &Path) -> bool {
    root.join("pyvenv.cfg").is_file() || root.join("conda-meta").is_dir()
}

/// Whether Python is installed in a folder, by the file that Python itself looks for.
fn is_python(root: &Path) -> bool {
    let versions = std::fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
    versions.into_iter().any(|version| {
        version.file_name().to_string_lossy().starts_with("python3.") && version.path().join("os.py").is_file()
    })
}

/// Whether a program belongs to the project and so may change with it: it, or a link to it, is in the project's folder.
/// A link from an environment to a system program does not count.
pub(in crate::run) fn is_of_project(program: &Path, project: &Path) -> bool {
    if project.parent().is_none() {
        return false;
    }
    let [Ok(real), Ok(project_real)] = [program, project].map(Path::canonicalize) else { return false };
    if real.starts_with(&project_real) {
        return true;
    }
    let environment = program.parent().and_then(Path::parent).is_some_and(is_environment);
    !environment && (program.starts_with(project) || program.starts_with(project_real))
}

/// Whether a command's first word is a path into its inputs, which exist only once it runs.
pub(in crate::run) fn is_input(word: &str) -> bool {
    let mut parts = word.split('/').filter(|part| !part.is_empty() && *part != ".");
    !word.starts_with('/') && parts.next() == Some("inputs")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with these files.
    fn with(files: &[&str]) -> tempfile::TempDir {
        let place = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, "").expect("written");
        }
        place
    }

    #[test]
    fn a_program_of_a_home_opens_its_code_and_no_home_however_deep_it_lies() {
        let place = with(&["a/b/home/u/bin/tool", "a/b/home/u/.ssh/id", "a/b/home/u/.local/bin/tool"]);
        let at = |path: &str| place.path().join(path);
        fs::create_dir_all(at("a/b/home/u/.local/share/keyrings")).expect("a folder");
        fs::create_dir_all(at("a/b/home/u/.local/lib")).expect("a folder");
        let homes = [at("a/b/home/u")];
        let own = |path: &str| own_files(&at(path), &homes, &at("project"));
        assert_eq!(own("a/b/home/u/bin/tool"), [at("a/b/home/u/bin/tool")]);
        // A home folder that is also an environment is still a home folder, and so is a folder above it.
        fs::write(at("a/b/home/u/pyvenv.cfg"), "").expect("written");
        fs::create_dir_all(at("a/b/conda-meta")).expect("a folder");
        assert_eq!(own("a/b/home/u/bin/tool"), [at("a/b/home/u/bin/tool")]);
        assert_eq!(own("a/b/bin/tool"), [at("a/b/bin/tool")]);
        let local = ["bin/tool", "bin", "lib"].map(|path| at("a/b/home/u/.local").join(path));
        assert_eq!(own("a/b/home/u/.local/bin/tool"), local);
        fs::create_dir_all(at("project/lib")).expect("a folder");
        assert_eq!(own("project/bin/tool"), [at("project/bin/tool")]);
        // The same under another name of the home folder.
        symlink(at("a/b/home"), at("users")).expect("a link");
        assert_eq!(own("users/u/bin/tool"), [at("users/u/bin/tool")]);
    }

    #[test]
    fn an_environment_is_opened_completely_wherever_it_is() {
        let place = with(&[
            "venv/bin/python",
            "venv/pyvenv.cfg",
            "conda/bin/python",
            "py/bin/python3",
            "py/lib/python3.12/os.py",
        ]);
        fs::create_dir(place.path().join("conda/conda-meta")).expect("a folder");
        for (program, root) in [("venv/bin/python", "venv"), ("conda/bin/python", "conda"), ("py/bin/python3", "py")] {
            let own = own_files(&place.path().join(program), &[], place.path());
            assert_eq!(own, [place.path().join(program), place.path().join(root)]);
        }
    }

    #[test]
    fn what_of_the_project_may_change_with_it_is_of_the_project() {
        let place = with(&["p/tools/run.sh", "p/venv/pyvenv.cfg", "p/venv/bin/own", "system/python3", "q/run.sh"]);
        let at = |path: &str| place.path().join(path);
        symlink(at("system/python3"), at("p/venv/bin/python")).expect("a link");
        symlink(at("system/python3"), at("p/tools/python")).expect("a link");
        symlink(at("p/tools/run.sh"), at("q/there.sh")).expect("a link");
        let of = |path: &str| is_of_project(&at(path), &at("p"));
        assert!(["p/tools/run.sh", "p/tools/python", "p/venv/bin/own", "q/there.sh"].into_iter().all(of));
        assert!(["p/venv/bin/python", "q/run.sh", "system/python3"].into_iter().all(|path| !of(path)));
        assert!(!is_of_project(Path::new("/bin/sh"), Path::new("/")));
    }

    #[test]
    fn a_word_that_leads_into_the_inputs_is_reported() {
        assert!(["inputs/files/x", "./inputs/x", ".//inputs//x"].into_iter().all(is_input));
        assert!(["/inputs/x", "tools/inputs/x", "python3", "../inputs/x"].into_iter().all(|word| !is_input(word)));
    }
}
