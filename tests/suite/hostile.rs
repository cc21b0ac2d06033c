//! Texts that mean harm: of the largest size that is read, in shapes that make a careless reader slow, deep or large. Shared by
//! the tests, which count, and by `cargo bench --bench hostile`, which measures.

/// Each shape by name.
pub(crate) fn texts() -> Vec<(&'static str, String)> {
    let size = 512 * 1024 - 64;
    let fill = |piece: &str| piece.repeat(size / piece.len());
    let within = |piece: &str| format!("pipeline a seed=1 {{\n{}}}\n", piece.repeat((size - 32) / piece.len()));
    let stages = |make: &dyn Fn(usize) -> String| {
        let mut text = "pipeline a seed=1 {\n".to_owned();
        for at in 0.. {
            let next = make(at);
            if text.len() + next.len() + 2 > size {
                break;
            }
            text.push_str(&next);
        }
        text + "}\n"
    };
    vec![
        ("a pipeline of stages", within("    extract patches { from fundus; size 64; label min-pixels=1 }\n")),
        (
            "stages in a line, each reading the last",
            stages(&|at| match at {
                0 => "synthetic s0\npreprocess s1 { from s0 }\n".to_owned(),
                _ => format!("preprocess s{} {{ from s{at} }}\n", at + 1),
            }),
        ),
        (
            "stages that read themselves in a circle",
            stages(&|at| format!("filter-black s{at} {{ from s{} }}\n", at + 1)),
        ),
        ("names that are misspelt", stages(&|at| format!("synthetic s{at} {{ photgraphs {at} }}\n"))),
        ("references to nothing", stages(&|at| format!("extract e{at} {{ from x{at} }}\n"))),
        ("one stage again and again", within("synthetic a\n")),
        (
            "parameters of one stage",
            format!("pipeline a seed=1 {{ synthetic b {{\n{}}} }}\n", fill("c 1\n").split_at(size - 64).0),
        ),
        ("parameters of a pipeline", stages(&|at| format!("param p{at} type=px default=64\n"))),
        ("one name", format!("pipeline {} seed=1 {{ }}\n", "x".repeat(size - 40))),
        ("long misspelt names", stages(&|at| format!("synthetic a{at} {{ {} 1 }}\n", "photographs".repeat(900)))),
        ("nodes", fill("a\n")),
        ("nodes behind `;`", fill("a;")),
        ("nodes with letters of all kinds", fill("é ß\n")),
        ("values", format!("a {}", fill("1 "))),
        ("values that are too large", format!("a {}", fill("99999999999999999999 "))),
        ("properties", format!("a {}", fill("b=1 "))),
        ("a long string", format!("a \"{}\"", "x".repeat(size - 8))),
        ("escapes", format!("a \"{}\"", fill("\\u{e9}").split_at(size / 7 * 6).0)),
        ("lone surrogates", fill("a \"\\u{d800}\"\n")),
        ("strings of many lines", fill("a \"\"\"\n  b\n  \"\"\"\n")),
        ("one string of many lines", format!("a \"\"\"\n{}\"\"\"", fill("x\n").split_at(size - 64).0)),
        ("raw strings", fill("a #\"b\"#\n")),
        ("hidden nodes", fill("/-a\n")),
        ("hidden values", format!("a {}", fill("/-1 "))),
        ("continued lines", format!("a {}1", fill("\\\n"))),
        ("empty blocks", fill("a {}\n")),
        ("blocks 24 deep", fill(&format!("{}{}\n", "a { ".repeat(24), "}".repeat(24)))),
        ("blocks 10,000 deep", "a {".repeat(10_000)),
        ("braces that are never closed", fill("a {\n")),
        ("braces that close nothing", fill("}\n")),
        ("braces that close nothing, in one line", fill("}")),
        ("quotes that are never closed", fill("a \"\n")),
        ("raw strings of many lines that never close", fill("a #\"\"\"\n")),
        ("strings of many lines that never close", fill("a \"\"\"\n")),
        ("comments that never close", fill("/*\n")),
        ("comments that never close, in one line", fill("/*")),
        ("words glued to comments", fill("a/* ")),
        ("words glued to quotes", fill("a\" ")),
        ("comments", fill("// a\n")),
        ("points first", fill("a .5\n")),
        ("truth without `#`", fill("a true\n")),
        ("commas", fill("a 1, 2\n")),
        ("glued commas", format!("a {}", fill("b,c "))),
        ("colons", fill("a: 1\n")),
        ("colons in one line", format!("a {}", fill("b: 1 "))),
        ("equals", fill("a = 1\n")),
        ("equals alone", fill("=")),
        ("brackets", fill("[")),
        ("brackets in pairs", format!("a {}", fill("[b] "))),
        ("parentheses", fill("(")),
        ("annotations", fill("(a)b (c)1\n")),
        ("hashes", fill("#")),
        ("hash comments", fill("# a\n")),
        ("curly quotes", fill("a “b ")),
        ("backslashes", fill("\\")),
        ("semicolons", fill(";")),
        ("blanks", fill(" ")),
        ("NUL bytes", fill("a \u{0}\n")),
        ("byte order marks", fill("\u{feff}")),
        ("layers of a network", format!("network a {{\n{}}}\n", fill("relu\n").split_at(size - 64).0)),
        ("unknown layers", format!("network a {{\n{}}}\n", fill("relo\n").split_at(size - 64).0)),
        (
            "convolutions of one name",
            format!("network a {{\n{}}}\n", fill("conv c out=8 kernel=3\n").split_at((size - 64) / 22 * 22).0),
        ),
        ("templates, each twice the last", {
            let twice = |at: usize| {
                format!("stage s{} {{\n out type=photographs from=a\n body {{ s{at} a; s{at} b }}\n}}\n", at + 1)
            };
            let first = "stage s0 {\n out type=photographs from=a\n body { synthetic a }\n}\n".to_owned();
            first + &(0..30).map(twice).collect::<String>() + "pipeline p seed=1 { s30 a }\n"
        }),
        ("blocks, each twice the last", {
            let twice = |at: usize| format!("block b{} {{ b{at}; b{at} }}\n", at + 1);
            format!("network n {{ block b0 {{ relu }}\n{}b30\nlinear fc }}\n", (0..30).map(twice).collect::<String>())
        }),
        (
            "repeats of repeats",
            format!("network n {{ {} relu {} linear fc }}\n", "repeat 1024 { ".repeat(20), "}".repeat(20) + ";"),
        ),
    ]
}
