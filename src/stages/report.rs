//! `report`: one HTML file from its inputs. The page itself is in [`crate::report`].

use crate::base::figure::bytes;
use crate::lang::value::Value;
use crate::report::gather::gather;
use crate::report::names::NameReplacements;
use crate::report::page::page;
use crate::stage::{Ctx, Determinism, Implementation, Outcome, StageError, Summary, Work};
use crate::store::Tree;

/// The implementation.
pub const REPORT: Implementation = Implementation {
    name: "report",
    version: 8,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Report(run),
};

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let given = ctx.inputs.many("of");
    let (items, names) = gather(given, &[], ctx.objects)?;
    let names = if ctx.params.flag("names")? { NameReplacements::shown() } else { names };
    let items: Vec<_> = items.into_iter().map(|item| item.redacted(&names)).collect();
    let title = match ctx.params.get("title") {
        Value::Text(title) => title.clone(),
        _ => "macula report".to_owned(),
    };
    let html = page(&title, &items, &names, ctx.params.count("examples")?);
    let mut tree = Tree::default();
    tree.insert("report.html", ctx.objects.put(html.as_bytes())?);
    let headline = format!("report.html ({}) on {}", bytes(html.len() as u64), listed(&items));
    Ok(Outcome {
        outputs: [("out".to_owned(), tree)].into(),
        summary: Summary { headline, ..Summary::default() },
        target: None,
    })
}

fn listed(items: &[crate::report::gather::ReportItem]) -> String {
    items.iter().map(|item| format!("`{}`", item.name)).collect::<Vec<_>>().join(", ")
}
