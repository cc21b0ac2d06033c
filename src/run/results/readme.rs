//! `README.txt` in a stage's result folder: what the outputs are, and for each file type a line of Python that loads
//! it. The lines work as they are, from that folder (`tests/checks/outputs.py` runs them).

use std::collections::{BTreeMap, BTreeSet};

use super::ShownResult;

/// How to read one file and many files in Python, by file extension: `PATH` stands for the name, `GLOB` for a pattern.
const LOADERS: [(&str, &str, &str); 5] = [
    (
        "json",
        "import json; json.load(open(PATH))",
        "import json, pathlib; {str(path): json.loads(path.read_text()) for path in sorted(pathlib.Path().glob(GLOB))}",
    ),
    (
        "parquet",
        "import pandas; pandas.read_parquet(PATH)",
        "import pandas, pathlib; pandas.concat([pandas.read_parquet(path) for path in sorted(pathlib.Path().glob(GLOB))])",
    ),
    (
        "csv",
        "import pandas; pandas.read_csv(PATH)",
        "import pandas, pathlib; pandas.concat([pandas.read_csv(path) for path in sorted(pathlib.Path().glob(GLOB))])",
    ),
    (
        "safetensors",
        "from safetensors.numpy import load_file; load_file(PATH)",
        "import pathlib; from safetensors.numpy import load_file; \
         {str(path): load_file(path) for path in sorted(pathlib.Path().glob(GLOB))}",
    ),
    (
        "pth",
        "import torch; torch.load(PATH, map_location=\"cpu\")",
        "import torch, pathlib; {str(path): torch.load(path, map_location=\"cpu\") for path in sorted(pathlib.Path().glob(GLOB))}",
    ),
];

/// Comments for files that are easily confused.
const WORDS: [(&str, &str); 2] =
    [("weights.safetensors", "the chosen epoch"), ("last.safetensors", "the last epoch, which may be a worse one")];

/// Files of one type that are named individually; a folder with more gets a pattern.
const MOST: usize = 8;

/// The text for a stage's folder.
pub(super) fn text(stage: &str, shown: &ShownResult) -> String {
    let mut text = format!("{stage}: {}\n", shown.headline);
    text.push_str("Hard links into macula's store, replaced by each run. Copy files before editing.\n\n");
    for (ending, one, many) in LOADERS {
        let mut names = Vec::new();
        for (port, tree) in &shown.outputs {
            let own = tree.entries.keys().filter(|name| ending_of(name) == Some(ending));
            names.extend(own.map(|name| if shown.outputs.len() > 1 { format!("{port}/{name}") } else { name.clone() }));
        }
        for group in groups(&names) {
            let line = match &group {
                Group::One(name) => one.replace("PATH", &quoted(name)),
                Group::Many(pattern) => many.replace("GLOB", &quoted(pattern)),
            };
            text.push_str(&line);
            let words = WORDS.iter().find(|(name, _)| group == Group::One((*name).to_owned()));
            text.push_str(&words.map(|(_, words)| format!("  # {words}")).unwrap_or_default());
            text.push('\n');
        }
    }
    text
}

fn ending_of(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, ending)| ending)
}

/// Files that one line loads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    One(String),
    /// All files that match a Python `glob` pattern.
    Many(String),
}

/// Groups files of one extension so that few groups cover all of them: single files if a folder has few and no other
/// folder has one of that name, else all of a folder, or all of one name in all folders. The most wanted come first.
fn groups(names: &[String]) -> Vec<Group> {
    let parts = |name: &str| {
        name.rsplit_once('/').map_or((String::new(), name.to_owned()), |(a, b)| (a.to_owned(), b.to_owned()))
    };
    let (mut by_folder, mut by_name) = (BTreeMap::<_, usize>::new(), BTreeMap::<_, usize>::new());
    for (folder, name) in names.iter().map(|name| parts(name)) {
        *by_folder.entry(folder).or_default() += 1;
        *by_name.entry(name).or_default() += 1;
    }
    let group = |full: &String| {
        let (folder, name) = parts(full);
        let (beside, elsewhere) = (by_folder[&folder], by_name[&name]);
        if elsewhere > beside {
            // As deep as this one, below the common folder.
            let depth = folder.split('/').filter(|part| !part.is_empty()).count();
            return Group::Many(format!("{}{}", "*/".repeat(depth), escaped(&name)));
        }
        if beside <= MOST && (folder.is_empty() || elsewhere == 1 && beside == 1) {
            return Group::One(full.clone());
        }
        let ending = ending_of(&name).unwrap_or_default();
        let folder = if folder.is_empty() { folder } else { escaped(&folder) + "/" };
        Group::Many(format!("{folder}*.{ending}"))
    };
    let all: BTreeSet<Group> = names.iter().map(group).collect();
    let rank = |group: &Group| match group {
        Group::One(name) => WORDS.iter().position(|(word, _)| word == name).unwrap_or(0),
        Group::Many(_) => WORDS.len(),
    };
    let mut all: Vec<Group> = all.into_iter().collect();
    all.sort_by_key(rank);
    all
}

/// A text as a Python (and JSON) string literal.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name with `glob` characters escaped.
fn escaped(name: &str) -> String {
    let one = |letter: char| if "*?[".contains(letter) { format!("[{letter}]") } else { letter.to_string() };
    name.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let text = |group| match group {
            Group::One(name) | Group::Many(name) => name,
        };
        groups(&names).into_iter().map(text).collect()
    }

    #[test]
    fn the_chosen_weights_come_before_the_last() {
        assert_eq!(of(&["last.safetensors", "weights.safetensors"]), ["weights.safetensors", "last.safetensors"]);
    }

    #[test]
    fn parts_of_a_whole_are_loaded_together() {
        assert_eq!(of(&["parts/a.parquet", "parts/b.parquet"]), ["parts/*.parquet"]);
        assert_eq!(of(&["set.json", "a/facts.json", "b/facts.json"]), ["set.json", "*/facts.json"]);
        assert_eq!(of(&["a.csv", "b.csv"]), ["a.csv", "b.csv"]);
        assert_eq!(of(&["parts/a.parquet"]), ["parts/a.parquet"], "one part is the whole");
        assert_eq!(
            of(&[
                "train/set.json",
                "test/set.json",
                "train/parts/a.parquet",
                "test/parts/b.parquet",
                "test/parts/c.parquet"
            ]),
            ["train/parts/a.parquet", "*/set.json", "test/parts/*.parquet"]
        );
        assert_eq!(of(&["a[1]/b.csv", "a[1]/c.csv"]), ["a[[]1]/*.csv"]);
    }

    #[test]
    fn a_readme_says_what_is_there_and_how_to_load_it() {
        let tree = |names: &[&str]| {
            let mut tree = crate::store::Tree::default();
            for name in names {
                let entry = crate::store::Entry { digest: crate::base::Digest::of(b""), size: 0 };
                tree.insert(*name, entry);
            }
            tree
        };
        let (port, tree) =
            ("out".to_owned(), tree(&["epochs.parquet", "last.safetensors", "model.json", "weights.safetensors"]));
        let shown = ShownResult { outputs: [(&port, &tree)].into(), headline: "epoch 3" };
        assert_eq!(
            text("fit", &shown),
            "fit: epoch 3\n\
             Hard links into macula's store, replaced by each run. Copy files before editing.\n\n\
             import json; json.load(open(\"model.json\"))\n\
             import pandas; pandas.read_parquet(\"epochs.parquet\")\n\
             from safetensors.numpy import load_file; load_file(\"weights.safetensors\")  # the chosen epoch\n\
             from safetensors.numpy import load_file; load_file(\"last.safetensors\")  # the last epoch, which may be a worse one\n"
        );
    }
}
