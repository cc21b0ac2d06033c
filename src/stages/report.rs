//! `report`: one HTML file from its inputs. The page itself is in [`crate::report`].

use crate::lang::value::Value;
use crate::report::gather::gather;
use crate::report::names::Names;
use crate::report::page::page;
use crate::stage::{Ctx, Determinism, Implementation, Outcome, StageError, Summary, Work};
use crate::store::Tree;

/// The implementation.
pub const REPORT: Implementation = Implementation {
    name: "report",
    version: 2,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    work: Work::Report(run),
};

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let given = ctx.inputs.many("of");
    let (pieces, names) = gather(given, ctx.objects)?;
    let names = if ctx.params.flag("names")? { Names::shown() } else { names };
    let pieces: Vec<_> = pieces.into_iter().map(|piece| piece.redacted(&names)).collect();
    let title = match ctx.params.get("title") {
        Value::Text(title) => title.clone(),
        _ => "macula report".to_owned(),
    };
    let html = page(&title, &pieces, &names, ctx.params.count("examples")?);
    let mut tree = Tree::default();
    tree.insert("report.html", ctx.objects.put(html.as_bytes())?);
    let headline = format!("report.html, {} KB, on {}", html.len().div_ceil(1000), listed(&pieces));
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary: Summary { headline, ..Summary::default() } })
}

fn listed(pieces: &[crate::report::gather::Piece]) -> String {
    pieces.iter().map(|piece| format!("`{}`", piece.name)).collect::<Vec<_>>().join(", ")
}
