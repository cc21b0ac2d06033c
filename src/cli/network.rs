//! Networks in `macula show`: layers, shapes, parameters, multiply-adds.

use std::path::Path;

use serde_json::{Value, json};

use super::Failure;
use crate::base::Sources;
use crate::lang::near::near;
use crate::lang::network::NetworkSpec;
use crate::lang::shapes::{self, LayerShape};
use crate::lang::spec::{Contents, Pipeline, Points};
use crate::lang::stdlib::stdlib;
use crate::lang::{self, value};
use crate::progress::out;
use crate::progress::table::{Grid, GridColumn, counted, thousands};
use crate::stage::Cell;

/// Options for showing a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct NetworkOptions {
    /// Requested side of the patches, px.
    pub(super) size: Option<u16>,
    /// Number of classes.
    pub(super) classes: u16,
    /// Whether as JSON.
    pub(super) json: bool,
}

/// Side of the patches without a pipeline, px.
const SIDE: usize = 128;

/// Text for a network of a file with networks and no pipeline; [`None`] for other files.
pub(super) fn alone(file: &Path, name: &str, look: NetworkOptions) -> Result<Option<String>, Failure> {
    let mut sources = Sources::default();
    let Ok((Contents { pipelines, .. }, diags)) = lang::load(file, &[], Points::OneByOne, &mut sources) else {
        return Ok(None);
    };
    if !pipelines.is_empty() || super::failure::wrong(&diags) {
        return Ok(None);
    }
    described(file, name).map(|network| text(&network, SIDE, look)).transpose()
}

/// Checks that a file has a pipeline, whose stages can be listed.
pub(super) fn without_stages(file: &Path) -> Result<(), Failure> {
    let mut sources = Sources::default();
    let Ok((Contents { pipelines, sweeps, .. }, diags)) = lang::load(file, &[], Points::OneByOne, &mut sources) else {
        return Ok(());
    };
    if !pipelines.is_empty() || !sweeps.is_empty() || super::failure::wrong(&diags) {
        return Ok(());
    }
    let networks = lang::networks(file, &mut Sources::default()).unwrap_or_default();
    let of_library = |name: &String| stdlib().networks.iter().any(|known| known.spec.name == *name);
    let names = networks.keys().filter(|name| !of_library(name)).map(|name| format!("`{name}`"));
    let names = names.collect::<Vec<_>>().join(", ");
    let failure = Failure::user(format!("`{}` has no pipeline", file.display()));
    Err(if names.is_empty() { failure } else { failure.hint(format!("name a network to show: {names}")) })
}

/// A network by name: as a stage of the pipeline uses it, or else as the file or the standard library describes it.
pub(super) fn find(pipeline: &Pipeline, file: &Path, name: &str) -> Option<NetworkSpec> {
    let mut values = pipeline.stages.iter().flat_map(|stage| stage.params.values());
    let used = values.find_map(|param| match &param.value {
        value::Value::Network(network) if network.name == name => Some((**network).clone()),
        _ => None,
    });
    used.or_else(|| described(file, name))
}

/// Suggestion for an unknown stage or network: one of a module, or a similar name.
pub(super) fn meant<'a>(file: &Path, name: &str, stages: impl Iterator<Item = &'a str>) -> Option<String> {
    let networks = lang::networks(file, &mut Sources::default()).unwrap_or_default();
    let of_module = networks.keys().find(|one| one.rsplit_once('.').is_some_and(|(_, last)| last == name));
    let stages: Vec<String> = stages.map(str::to_owned).collect();
    let names = networks.keys().chain(&stages).map(String::as_str);
    of_module.cloned().or_else(|| near(name, names).map(str::to_owned))
}

fn described(file: &Path, name: &str) -> Option<NetworkSpec> {
    let networks = lang::networks(file, &mut Sources::default()).ok()?;
    networks.get(name).map(|described| described.spec.clone())
}

/// Side of the patches of a pipeline, px.
pub(super) fn side(pipeline: &Pipeline) -> usize {
    let extract = pipeline.stages.iter().find(|stage| stage.implementation == "extract");
    let size = extract.and_then(|stage| match stage.value("size") {
        Some(value::Value::Int(size)) => usize::try_from(*size).ok(),
        _ => None,
    });
    size.unwrap_or(SIDE)
}

/// A network as a table, or as JSON.
pub(super) fn text(network: &NetworkSpec, side: usize, look: NetworkOptions) -> Result<String, Failure> {
    let (side, classes) = (look.size.map_or(side, usize::from), usize::from(look.classes));
    let layers = shapes::shapes(network, side, classes).map_err(|misfits| {
        let all: Vec<&str> = misfits.iter().map(|misfit| misfit.message.as_str()).collect();
        let hint = misfits.first().map(|misfit| misfit.hint.clone()).unwrap_or_default();
        Failure::user(format!("`{}` on patches of {side} px: {}", network.name, all.join("; "))).hint(hint)
    })?;
    let parameters: u64 = layers.iter().map(|layer| layer.parameters).sum();
    let multiply_adds: u64 = layers.iter().map(|layer| layer.multiply_adds).sum();
    if look.json {
        let facts = json!({
            "network": network.name,
            "digest": network.digest(),
            "side": side,
            "classes": classes,
            "parameters": parameters,
            "multiply-adds": multiply_adds,
            "layers": layers.iter().map(layer_json).collect::<Vec<Value>>(),
        });
        return Ok(format!("{facts:#}\n"));
    }
    let columns = ["layer", "tensors", "gives", "parameters"].map(GridColumn::new).into_iter();
    let grid = Grid::new(columns.chain([GridColumn::new("multiply-adds").priority(1)]));
    let grid = grid.rows(shapes::folded(&layers).iter().map(row));
    let (parameters, multiply_adds) = (thousands(parameters as i64), thousands(multiply_adds as i64));
    Ok(format!(
        "{} on 3 x {side} x {side}, {}: {parameters} parameters, {multiply_adds} multiply-adds per patch\n\n{}",
        network.name,
        counted(classes as u64, "class", "classes"),
        grid.render(out::stdout_width()),
    ))
}

fn layer_json(layer: &LayerShape) -> Value {
    let mut row = json!({
        "kind": layer.kind,
        "name": layer.name,
        "depth": layer.depth,
        "out": layer.out.to_string(),
        "parameters": layer.parameters,
        "multiply-adds": layer.multiply_adds,
    });
    if !layer.point.is_empty() {
        row["point"] = json!(layer.point);
    }
    row
}

fn row(layer: &LayerShape) -> Vec<Cell> {
    let count = |count: u64| if count == 0 { Cell::Null(()) } else { Cell::Int(count as i64) };
    vec![
        Cell::Text(format!("{}{}", "  ".repeat(layer.depth), layer.written())),
        Cell::Text(layer.name.clone()),
        Cell::Text(layer.out.to_string()),
        count(layer.parameters),
        count(layer.multiply_adds),
    ]
}
