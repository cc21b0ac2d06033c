//! What shells complete, asked of the shells themselves; and the manual pages.

use std::fmt::Write as _;
use std::process::Command;

use crate::missing::missing;
use crate::space::Space;

const PIPELINE: &str = "network tiny { global-avg-pool; linear fc }
pipeline first seed=1 {
    param side type=px default=64
    synthetic eyes
    extract patches { from eyes; size $side }
    split folds { from patches }
    train classifier { data folds.train; valid folds.valid; network tiny }
    report page { of classifier }
}
pipeline second seed=1 { synthetic more; extract other { from more }; export files { from other } }
";

/// What a shell says to a script that runs next to the pipeline and a file `macula.SHELL` of completions. None where the shell
/// is not installed.
fn shell(shell: &str, script: &str) -> Option<String> {
    let space = Space::with(PIPELINE);
    if Command::new(shell).arg("--version").output().is_err() {
        missing(shell, format!("there is no {shell} here"));
        return None;
    }
    space.write("completions", space.macula(&format!("completions {shell}")).raw);
    space.write("script", script);
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_macula"));
    let folder = binary.parent().expect("it lies in a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(shell);
    command.current_dir(space.path("")).env("PATH", path).env("HOME", space.path("")).arg(space.path("script"));
    let said = command.output().expect("it runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Some(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// A line of words that is being written, and what its last word may become.
const ASKED: [(&[&str], &str); 14] = [
    (&["why", "pipeline.kdl", "p"], "page patches"),
    (&["why", "pipeline.kdl", "fold"], "folds"),
    (&["show", "pipeline.kdl", "folds."], "folds.test folds.train folds.valid"),
    (&["show", "pipeline.kdl", "ti"], "tiny"),
    (&["predict", "pipeline.kdl", ""], "classifier"),
    (&["plan", "pipeline.kdl", "eyes", "clas"], "classifier"),
    (&["run", "pipeline.kdl", "--pipeline", ""], "first second"),
    (&["data", "check", "pipeline.kdl", "--stage", "ey"], "eyes"),
    (&["run", "pipeline.kdl", "--set", "si"], "side="),
    (&["run", "pipeline.kdl", "--set", "cla"], "classifier."),
    (&["run", "pipeline.kdl", "--set", "classifier.ep"], "classifier.epochs="),
    (&["doc", "cross"], "cross-attention-resnet18 cross-encode cross-validation"),
    (&["explain", "port-"], "port-type"),
    (&["std", "show", "resnet1"], "resnet18"),
];

#[test]
fn bash_completes_the_names_of_the_file_at_hand() {
    let mut script = "source ./completions
ask() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _macula_names macula \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[*]}\"; }
complete -p macula >/dev/null || exit 1
"
    .to_owned();
    for (words, _) in ASKED {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let _ = writeln!(script, "ask macula {}", words.join(" "));
    }
    // bash takes words apart at `=`; and what macula does not know by name is the script's.
    script +=
        "ask macula run pipeline.kdl --set classifier.loss = fo\nask macula exp\nask macula run pipeline.kdl --keep\n";
    let Some(said) = shell("bash", &script) else { return };
    let expected: Vec<&str> =
        ASKED.iter().map(|(_, expected)| *expected).chain(["focal", "explain", "--keep-going"]).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn fish_completes_the_names_of_the_file_at_hand() {
    let mut script = "source ./completions\n".to_owned();
    for (words, _) in ASKED {
        let line = words.join(" ");
        let _ = writeln!(
            script,
            "echo (complete -C 'macula {line}' | string match -rv '^-' | string replace -r '\\t.*' '')"
        );
    }
    let Some(said) = shell("fish", &script) else { return };
    for ((words, expected), line) in ASKED.iter().zip(said.lines()) {
        let found: Vec<&str> = line.split(' ').collect();
        assert!(expected.split(' ').all(|name| found.contains(&name)), "{words:?}: {line}");
    }
}

#[test]
fn zsh_completes_the_names_of_the_file_at_hand() {
    // The completion system needs a terminal: its two functions are stood in for.
    let mut script =
        "compdef() { : }\nsource ./completions\ncompadd() { [[ $1 == -S ]] || print -r -- ${(o)found} ${(o)more} }\n"
            .to_owned();
    for (words, _) in ASKED {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let _ = writeln!(script, "words=(macula {}); CURRENT={}; _macula_names", words.join(" "), words.len() + 1);
    }
    let Some(said) = shell("zsh", &script) else { return };
    assert_eq!(said.lines().collect::<Vec<_>>(), ASKED.iter().map(|(_, expected)| *expected).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_read_completes_nothing_and_says_nothing() {
    let space = Space::with("pipeline p seed=1 { synthetic eyes; extrct x { from eyes } ");
    for words in ["why missing.kdl e", "why pipeline.kdl zzz", "run", "", "package pin x", "frobnicate a b"] {
        let said = space.macula(&format!("complete-words -- {words}"));
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""), "{words}");
    }
    // A mistake elsewhere takes no names away.
    assert_eq!(space.macula("complete-words -- why pipeline.kdl ey").stdout, "eyes\n");
}

#[test]
fn every_command_has_a_manual_page_that_is_right() {
    let space = Space::new();
    assert_eq!(space.macula("man --out pages").code, Some(0));
    let pages = space.files("pages");
    for page in ["macula.1", "macula-run.1", "macula-std-show.1", "macula-man.1"] {
        assert!(pages.iter().any(|name| name == page), "{pages:?}");
    }
    assert!(!pages.iter().any(|name| name.contains("complete-words")));
    assert!(space.macula("man run").stdout.contains("Run what isn"));
    assert!(space.macula("man rn").stderr.contains("did you mean `run`?"));
    if Command::new("groff").arg("--version").output().is_err() {
        return missing("groff", "there is no groff here");
    }
    for page in pages {
        let said = Command::new("groff")
            .args(["-Kutf8", "-man", "-z", "-ww", "-Tutf8"])
            .arg(space.path(&format!("pages/{page}")))
            .output();
        let said = said.expect("it runs");
        assert!(said.status.success() && said.stderr.is_empty(), "{page}: {}", String::from_utf8_lossy(&said.stderr));
    }
}
