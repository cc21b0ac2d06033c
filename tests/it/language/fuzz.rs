//! The bodies of the fuzz targets on bounded numbers of texts: token soups, the corpus of mistakes with pieces exchanged, and
//! texts that mean harm.

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;
#[path = "../../suite/hostile.rs"]
mod hostile;

use std::fs;

use proptest::prelude::*;

/// Every floor on one text.
fn all(text: &str) {
    bodies::parser(text);
    bodies::formatter(text);
    bodies::expander(text);
}

/// The files of the corpus.
fn corpus() -> Vec<String> {
    let files = super::suite::files();
    files.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

const WORDS: [&str; 76] = [
    "pipeline",
    "stage",
    "network",
    "in",
    "out",
    "body",
    "param",
    "a",
    "b",
    "c",
    "seed=1",
    "{",
    "}",
    "{",
    "}",
    "\n",
    "\n",
    " ",
    ";",
    ";",
    "extract",
    "synthetic",
    "split",
    "train",
    "from",
    "data",
    "size",
    "128",
    "128px",
    ".5",
    "50%",
    "true",
    "#true",
    "\"",
    "\"\"\"",
    "#\"",
    "'",
    "[",
    "]",
    "(",
    ")",
    "=",
    "/-",
    "//",
    "/*",
    "*/",
    "\\",
    "$size",
    "conv",
    "type=px",
    "é",
    ",",
    "0x",
    "1e",
    "-",
    "#",
    "a/b",
    "residual",
    "block",
    "use",
    "\u{feff}",
    "\r",
    "“",
    "”",
    "｛",
    "；",
    ":",
    "size:",
    "->",
    "extends",
    "without",
    "type=photographs",
    "from=a",
    "default=1",
    "repeat",
    "f\"",
];

const LAYERS: [&str; 49] = [
    "conv a ",
    "conv b ",
    "out=8 ",
    "out=0 ",
    "out=65536 ",
    "kernel=3 ",
    "kernel=64 ",
    "stride=2 ",
    "padding=1 ",
    "groups=2 ",
    "\n",
    "\n",
    "\n",
    "relu\n",
    "batch-norm c\n",
    "max-pool kernel=2\n",
    "avg-pool kernel=3\n",
    "global-avg-pool\n",
    "flatten\n",
    "linear d out=9\n",
    "linear fc\n",
    "residual { ",
    "input half\n",
    "input wide\n",
    "tap t\n",
    "tap u\n",
    "branch from=t { ",
    "branch from=half share=#true { ",
    "branch v from=wide { ",
    "shallow-cnn to=block1\n",
    "shallow-cnn w to=map\n",
    "body { ",
    "shortcut { ",
    "parallel join=concat { ",
    "parallel join=sum { ",
    "branch { ",
    "} ",
    "} ",
    "}\n",
    "}; ",
    "repeat 3 { ",
    "repeat 1024 { ",
    "block s { ",
    "s\n",
    "s one\n",
    "param w default=8\n",
    "out=$w ",
    "in=8 ",
    "dropout share=0.5\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn soups_break_no_promise(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..60)) {
        all(&words.concat());
        all(&words.join(" "));
        all(&format!("pipeline a seed=1 {{\n{}\n}}", words.join(" ")));
    }

    #[test]
    fn soups_of_layers_break_no_promise(words in prop::collection::vec(prop::sample::select(LAYERS.to_vec()), 0..40)) {
        bodies::shapes(&words.concat());
    }

    #[test]
    fn the_corpus_in_pieces_breaks_no_promise(
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        cuts in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let corpus = corpus();
        let (one, other) = (one.get(&corpus), other.get(&corpus));
        let at = |text: &str, cut: prop::sample::Index| {
            let mut at = cut.index(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (from, to, into) = (at(other, cuts.0), at(other, cuts.1), at(one, cuts.2));
        let piece = &other[from.min(to)..from.max(to)];
        all(&format!("{}{piece}{}", &one[..into], &one[into..]));
        all(&one[..into]);
        all(&one[into..]);
    }
}

/// Every floor answers, with a bounded number of reported mistakes of the form.
#[test]
fn hostile_texts_break_no_promise() {
    for (name, text) in hostile::texts() {
        assert!(text.len() <= 512 * 1024, "{name}: {} bytes", text.len());
        let short: String = text.chars().take(8192).collect();
        bodies::parser(&short);
        bodies::expander(&short);
    }
}
