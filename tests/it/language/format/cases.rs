//! One case for each rule of the layout, and for each place where a comment can stand.

use std::fs;
use std::path::{Path, PathBuf};

use super::{attempt, formatted};

/// Fails unless `text` becomes `expected`, which stays as it is.
#[track_caller]
fn becomes(text: &str, expected: &str) {
    assert_eq!(formatted(text), expected, "of\n{text}");
}

#[test]
fn statements_get_lines_of_their_own_and_four_spaces_a_level() {
    becomes("a{\nb{\n\tc 1;d 2\n}}\ne;f", "a {\n    b {\n        c 1\n        d 2\n    }\n}\ne\nf\n");
}

#[test]
fn spaces_are_one_and_properties_have_none() {
    becomes("  a   1    x  =  2   ( ".trim_end_matches(" ( "), "a 1 x=2\n");
    becomes("a\u{a0}1\u{3000}b=2\t\n", "a 1 b=2\n");
}

#[test]
fn a_block_on_one_line_stays_there_while_it_fits() {
    becomes("extract patches {from fundus;size 128 ; }", "extract patches { from fundus; size 128 }\n");
    becomes("a { b {c;d};e {} }", "a { b { c; d }; e {} }\n");
    becomes("a {\n  b }", "a {\n    b\n}\n");
    becomes("a { }\nb {\n\n}", "a {}\nb {}\n");
    let long = |letters: usize| format!("a {{ b {}; c 1 }}\n", "x".repeat(letters));
    let fits = long(120 - long(0).trim_end().len());
    assert_eq!(fits.trim_end().len(), 120);
    becomes(&fits, &fits);
    let letters = "x".repeat(200);
    becomes(&long(200), &format!("a {{\n    b {letters}\n    c 1\n}}\n"));
    becomes(
        &format!("a {{ b {{ c {letters} }}; d {{ e }} }}"),
        &format!("a {{\n    b {{\n        c {letters}\n    }}\n    d {{ e }}\n}}\n"),
    );
}

#[test]
fn a_line_that_is_long_by_itself_stays() {
    let text = format!("doc \"{}\"\nb \"{}\" {{}}\n", "x ".repeat(80), "y ".repeat(80));
    becomes(&text, &text);
}

#[test]
fn one_blank_line_is_kept_and_none_at_the_ends() {
    becomes("\n\n\na\n\n\n\nb {\n\n  c\n \n\n  d\n\n}\n\n", "a\n\nb {\n    c\n\n    d\n}\n");
    becomes("a\n\n// c\n\n\n// d\nb\n", "a\n\n// c\n\n// d\nb\n");
    becomes("", "");
    becomes(" \n\n ", "");
}

#[test]
fn line_ends_byte_order_mark_and_white_space_at_the_end_are_put_right() {
    becomes("\u{feff}a 1  \r\nb {\r\n  c // d  \r\n}\r\n", "a 1\nb {\n    c // d\n}\n");
    becomes("a \"\"\"\r\n  x\r\n  \"\"\"\r\n", "a \"\"\"\n  x\n  \"\"\"\n");
    becomes("/* a\r\n   b  \r\n*/\r\nc", "/* a\n   b\n*/\nc\n");
}

#[test]
fn numbers_and_strings_stay_as_written() {
    let text = r###"a 1_000 0x1F +1.50e-03 "a\tb\u{e9}" #"raw "x""# ##"a"#b"## "quoted" bare -x $y a.b "k v"="v" #true #nan"###;
    becomes(text, &format!("{text}\n"));
    let lines = "{\n\t\tb \"\"\"\n\t  first\n\t    second  \n\t  \"\"\" c=1\n\t}";
    becomes(&format!("a {lines}"), "a {\n    b \"\"\"\n\t  first\n\t    second  \n\t  \"\"\" c=1\n}\n");
    becomes("a #\"\"\"\n  \\n \"x\"\n  \"\"\"#\n", "a #\"\"\"\n  \\n \"x\"\n  \"\"\"#\n");
    becomes("a \"one \\\n     two\"\n", "a \"one \\\n     two\"\n");
}

#[test]
fn a_line_that_goes_on_keeps_its_break() {
    becomes("a 1 \\\n2 \\\n\\\n      3", "a 1 \\\n    2 \\\n    3\n");
    becomes("a \\\n { b }", "a { b }\n");
    becomes("a \\\n b { c; d }", "a \\\n    b { c; d }\n");
    // Lines that continue are distinguished from those of the block.
    becomes("a \\\n b {\nc\n}", "a \\\n        b {\n    c\n}\n");
    becomes("a \\ // why\n  b \\ /* how */ // c\n c", "a \\ // why\n    b /* how */ \\ // c\n    c\n");
    becomes("a \\\n\nb", "a\nb\n");
    becomes("a \\ // c\n\nb", "a // c\nb\n");
    becomes("a 1 \\ // c\n{\nb\n}", "a 1 { // c\n    b\n}\n");
    becomes("a x \\\n = \\ // c\n 1 y=2", "a \\ // c\n    x=1 y=2\n");
}

#[test]
fn comments_stay_where_they_belong() {
    becomes("a { // c\nb\n}", "a { // c\n    b\n}\n");
    becomes("a { // c\n}", "a { // c\n}\n");
    becomes("a { /* c */ }", "a {\n    /* c */\n}\n");
    becomes("a { b; /* c */ d /* e */ }", "a {\n    b\n    /* c */ d /* e */\n}\n");
    becomes("a { b } // c\n// d\n", "a { b } // c\n// d\n");
    becomes("a;// c\n /* d */ b /* e */\n/* f */ /* g */\n", "a // c\n/* d */ b /* e */\n/* f */ /* g */\n");
    becomes("a/*c*/b/*d*/=/*e*/1/*f*/{/*g*/\nh\n}/*i*/", "a /*c*/ /*d*/ /*e*/ b=1 /*f*/ { /*g*/\n    h\n} /*i*/\n");
    becomes("a { b }; // c", "a { b } // c\n");
    becomes("//c\n\t//d", "//c\n//d\n");
    becomes("a {\n  b\n  // last\n}", "a {\n    b\n    // last\n}\n");
    becomes("/* a /* b */ c */ d", "/* a /* b */ c */ d\n");
    becomes("a; /* c\nd */ b", "a\n/* c\nd */\nb\n");
}

#[test]
fn lines_of_a_block_comment_move_with_its_first() {
    becomes(
        "a {\n  /* one\n     two\n\n       three */\n  b\n}",
        "a {\n    /* one\n       two\n\n         three */\n    b\n}\n",
    );
    becomes("a {\n\t/*\n\t * one\n\t */\n}", "a {\n    /*\n     * one\n     */\n}\n");
    becomes("a 1 /* c\n  d */ 2", "a 1 /* c\n  d */ 2\n");
    becomes("a 1   /* c\n        d */ // e\nf", "a 1 /* c\n      d */ // e\nf\n");
}

#[test]
fn what_is_commented_out_stays_commented_out() {
    becomes("/-  a 1\n/- \n\n b { c }", "/-a 1\n/-b { c }\n");
    becomes("a /- 1 /- b = 2 3 /- { c } { d } /- {\ne\n}", "a /-1 /-b=2 3 /-{\n    c\n} {\n    d\n} /-{\n    e\n}\n");
    becomes("a { /-b 1; c /-d }", "a { /-b 1; c /-d }\n");
    becomes("/- // c\n a", "// c\n/-a\n");
    becomes("a /- /* c */ b /- // d\n e", "a /* c */ /-b \\ // d\n    /-e\n");
    becomes("a 1 { b } /- { c }", "a 1 { b } /-{ c }\n");
    becomes("/-kdl-version 2\na", "/-kdl-version 2\na\n");
}

#[test]
fn comments_of_neighbouring_lines_stand_under_each_other() {
    becomes("a 1 // x\nbb 22  // y\n\nccc 3 // z\nd\n", "a 1   // x\nbb 22 // y\n\nccc 3 // z\nd\n");
    becomes(
        "a 1 // x\nb { c } // y\nd {\n e\n} // z\nf // w",
        "a 1     // x\nb { c } // y\nd {\n    e\n} // z\nf // w\n",
    );
    becomes("a 1  // x\n     // goes on\n  // of b\nb", "a 1 // x\n    // goes on\n// of b\nb\n");
    becomes("a // x\n  // goes on\nbb // y\n", "a  // x\n   // goes on\nbb // y\n");
    let far = format!("a // x\nb {} // y\n", "z".repeat(50));
    becomes(&far, &far);
    let wide = format!("a // {}\nb {} // y\n", "x".repeat(100), "z".repeat(30));
    becomes(&wide, &wide);
}

#[test]
fn what_has_mistakes_of_form_is_left_alone() {
    for (text, code) in [
        ("a .5", "number-form"),
        ("a {", "unclosed-brace"),
        ("a }", "stray-brace"),
        ("a \"b", "unclosed-string"),
        ("a /* b", "unclosed-comment"),
        ("a true", "keyword-form"),
        ("(t)a", "type-annotation"),
        ("a b/c", "unquoted-path"),
        ("/-", "syntax"),
        ("a { b } /-c", "syntax"),
        ("a \"x\"\"y\"", "syntax"),
    ] {
        assert_eq!(attempt(text), Err(vec![code]), "{text}");
    }
    assert_eq!(attempt(&"a {".repeat(10_000)), Err(vec!["too-deep"]));
    assert_eq!(attempt(&"a\n".repeat(300_000)), Err(vec!["too-large"]));
    // Small enough to read, too large once it is laid out: macula could not read it again.
    assert_eq!(attempt(&format!("a {{{}}}", "b;".repeat(200_000))), Err(vec!["too-large"]));
}

/// Far over what a quadratic loop would take: each text has hundreds of KB of one thing.
#[test]
fn large_files_are_no_trouble() {
    let texts = [
        format!("a {}", "/*c*/".repeat(40_000)),
        format!("a {}b", "\\ // c\n".repeat(20_000)),
        "a 1 // c\n".repeat(20_000),
        "a 1 // c\n    // d\n".repeat(10_000),
        format!("a {{ {} }}", "b { c 1 }; ".repeat(8_000)),
        format!("{}{}{}", "a { ".repeat(20), "b 1; ".repeat(4_000), "}".repeat(20)),
        format!("/*{}*/ a", "\n x".repeat(50_000)),
    ];
    for text in texts {
        formatted(&text);
    }
}

#[test]
fn a_messy_file_becomes_this() {
    let fixture = |name: &str| {
        fs::read_to_string(root().join("tests/it/language/format").join(name)).expect("the fixture is there")
    };
    assert_eq!(formatted(&fixture("messy.kdl")), fixture("tidy.kdl"));
}

/// What the project itself keeps as KDL is formatted; `macula fmt` mends it.
#[test]
fn pipelines_and_the_standard_library_are_formatted() {
    let mut waiting = vec![root().join("pipelines"), root().join("stdlib"), root().join("tests/checks")];
    let mut count = 0;
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|kind| kind == "kdl") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            assert!(formatted(&text) == text, "`macula fmt {}` would change it", path.display());
            count += 1;
        }
    }
    assert!(count > 20, "the files were not found");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
