//! `cargo bench --bench hostile`: time from the bytes of each hostile text to all of its diagnostics, on one thread.

#[path = "../suite/hostile.rs"]
mod texts;

use std::time::Instant;

use macula::base::Sources;
use macula::lang::{self, spec::Points};
use macula::syntax;

/// Same allocator as the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stdout, reason = "it is a program that prints a table")]
fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    println!("| text | bytes | syntax, ms | all, ms | told |\n|---|---|---|---|---|");
    for (name, text) in texts::texts() {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let begin = Instant::now();
        let _ = syntax::parse(macula::base::FileId(0), &text);
        let form = begin.elapsed().as_secs_f64() * 1e3;
        let begin = Instant::now();
        let (_, diags) = lang::load_text("hostile.kdl", None, &text, &[], Points::All, &mut Sources::default());
        let all = begin.elapsed().as_secs_f64() * 1e3;
        println!("| {name} | {} | {form:.0} | {all:.0} | {} |", text.len(), diags.len());
    }
}
