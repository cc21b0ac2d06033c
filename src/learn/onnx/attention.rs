//! Attention and tokens as nodes of ONNX.

use super::graph::{GraphValue, ValueLayout, attribute, int, tensor};
use super::layers::LayerExport;
use crate::lang::network::attention::{BIAS_TABLE, table_rows};
use crate::lang::network::{AttentionPool, ClassToken, CrossAttention, PositionTable, SelfAttention};
use crate::stage::StageError;

/// Added to the similarity of pixels that come from opposite edges of the map; their attention is exactly 0 in f32.
const APART: f32 = -100.0;

impl LayerExport<'_> {
    pub(super) fn self_attention(
        &mut self,
        attention: &SelfAttention,
        x: &GraphValue,
    ) -> Result<GraphValue, StageError> {
        let SelfAttention { name, heads, .. } = attention;
        let [weight, bias, out, out_bias] = attention.names.tensors().map(|end| format!("{name}.{end}"));
        let Some(window) = attention.window else {
            let listed = self.graph.listed(x)?;
            let together = self.product(name, &weight, Some(&bias), &listed)?;
            let split = [0, int(x.pixels()), 3, int(*heads), int(x.channels / heads)];
            let split = self.graph.reshape(&together, &split);
            let turned = self.graph.transpose(&split, &[2, 0, 3, 1, 4]);
            let [q, k, v] = [0, 1, 2].map(|at| self.graph.pick(&turned, 0, at));
            let attended = self.attend([&q, &k, &v], x.channels / heads, &[0, 1, 3, 2], &[]);
            let turned = self.graph.transpose(&attended, &[0, 2, 1, 3]);
            let listed = self.graph.reshape(&turned, &[0, int(x.pixels()), int(x.channels)]);
            let found = self.product(name, &out, Some(&out_bias), &listed)?;
            return Ok(self.unlisted(&found, x, x.channels));
        };
        let (height, width) = (x.height.next_multiple_of(window), x.width.next_multiple_of(window));
        // Windows that cover the map have nowhere to move.
        let shifts = [height, width].map(|side| if window < side { attention.shift } else { 0 });
        let (down, across, tokens) = (height / window, width / window, window * window);
        let padded = self.padded(x, height, width)?;
        let mut together = self.product(name, &weight, Some(&bias), &padded.name)?;
        for (axis, side, shift) in [(1, height, shifts[0]), (2, width, shifts[1])] {
            together = self.rolled(&together, axis, side, shift);
        }
        let grid = [0, int(down), int(window), int(across), int(window), int(3 * x.channels)];
        let grid = self.graph.reshape(&together, &grid);
        let grid = self.graph.transpose(&grid, &[0, 1, 3, 2, 4, 5]);
        let split = [0, int(down * across), int(tokens), 3, int(*heads), int(x.channels / heads)];
        let split = self.graph.reshape(&grid, &split);
        let turned = self.graph.transpose(&split, &[3, 0, 1, 4, 2, 5]);
        let [q, k, v] = [0, 1, 2].map(|at| self.graph.pick(&turned, 0, at));
        let mut added = Vec::new();
        if attention.relative {
            added.push(self.relative_bias(name, *heads, window)?);
        }
        if shifts != [0, 0] {
            let apart = apart([height, width], window, shifts);
            added.push(self.graph.floats("apart", &[down * across, 1, tokens, tokens], &apart));
        }
        let attended = self.attend([&q, &k, &v], x.channels / heads, &[0, 1, 2, 4, 3], &added);
        let turned = self.graph.transpose(&attended, &[0, 1, 3, 2, 4]);
        let grid = [0, int(down), int(across), int(window), int(window), int(x.channels)];
        let grid = self.graph.reshape(&turned, &grid);
        let grid = self.graph.transpose(&grid, &[0, 1, 3, 2, 4, 5]);
        let mut found = self.graph.reshape(&grid, &[0, int(height), int(width), int(x.channels)]);
        for (axis, side, shift, kept) in [(1, height, shifts[0], x.height), (2, width, shifts[1], x.width)] {
            found = self.rolled(&found, axis, side, if shift > 0 { side - shift } else { 0 });
            if kept < side {
                found = self.graph.slice(&found, axis, 0, kept);
            }
        }
        let name = self.product(name, &out, Some(&out_bias), &found)?;
        Ok(GraphValue { name, layout: ValueLayout::Pixels, ..x.clone() })
    }

    /// softmax(q kᵀ / √depth + what is added) v, over the last two dimensions. `swap` exchanges those of the keys.
    fn attend(&mut self, [q, k, v]: [&str; 3], depth: usize, swap: &[i64], added: &[String]) -> String {
        let scale = self.graph.float(1.0 / (depth as f32).sqrt());
        let q = self.graph.node("Mul", "queries", &[q, &scale], []);
        let k = self.graph.transpose(k, swap);
        let mut similar = self.graph.node("MatMul", "similarities", &[&q, &k], []);
        for bias in added {
            similar = self.graph.node("Add", "similarities", &[&similar, bias], []);
        }
        let shares = self.graph.node("Softmax", "attention", &[&similar], [attribute("axis", -1)]);
        self.graph.node("MatMul", "attended", &[&shares, v], [])
    }

    /// Value whose element at 0 of a dimension was at `by`.
    fn rolled(&mut self, x: &str, axis: i64, side: usize, by: usize) -> String {
        if by == 0 {
            return x.to_owned();
        }
        let (late, early) = (self.graph.slice(x, axis, by, side), self.graph.slice(x, axis, 0, by));
        self.graph.concat("rolled", &[&late, &early], axis)
    }

    /// Bias of each head for each pair of pixels of a window: heads x pixels x pixels.
    fn relative_bias(&mut self, name: &str, heads: usize, window: usize) -> Result<String, StageError> {
        let table = format!("{name}.{BIAS_TABLE}");
        let (_, values) = tensor(self.weights, &table)?;
        if values.len() != table_rows(window) * heads {
            return Err(StageError::Bug(format!("tensor `{table}` has {} values", values.len())));
        }
        let tokens = window * window;
        let row = |one: usize, other: usize| {
            let offset = |one: usize, other: usize| one + window - 1 - other;
            offset(one / window, other / window) * (2 * window - 1) + offset(one % window, other % window)
        };
        let mut bias = Vec::with_capacity(heads * tokens * tokens);
        for head in 0..heads {
            for one in 0..tokens {
                bias.extend((0..tokens).map(|other| values[row(one, other) * heads + head]));
            }
        }
        Ok(self.graph.floats(&format!("{name}.relative_position_bias"), &[heads, tokens, tokens], &bias))
    }

    pub(super) fn cross_attention(
        &mut self,
        attention: &CrossAttention,
        x: &GraphValue,
        other: &GraphValue,
    ) -> Result<GraphValue, StageError> {
        let CrossAttention { name, heads, width, .. } = attention;
        let out = width.unwrap_or(x.channels);
        let [queries, sources] = [self.graph.listed(x)?, self.graph.listed(other)?];
        let mut parts = Vec::with_capacity(3);
        for (end, from, pixels) in
            [("q", &queries, x.pixels()), ("k", &sources, other.pixels()), ("v", &sources, other.pixels())]
        {
            let part = self.linear(&format!("{name}.{end}"), true, from)?;
            let split = self.graph.reshape(&part, &[0, int(pixels), int(*heads), int(out / heads)]);
            parts.push(self.graph.transpose(&split, &[0, 2, 1, 3]));
        }
        let attended = self.attend([&parts[0], &parts[1], &parts[2]], out / heads, &[0, 1, 3, 2], &[]);
        let turned = self.graph.transpose(&attended, &[0, 2, 1, 3]);
        let listed = self.graph.reshape(&turned, &[0, int(x.pixels()), int(out)]);
        let found = self.linear(&format!("{name}.proj"), true, &listed)?;
        Ok(self.unlisted(&found, x, out))
    }

    pub(super) fn attention_pool(&mut self, pool: &AttentionPool, x: &GraphValue) -> Result<GraphValue, StageError> {
        let AttentionPool { name, gated, .. } = pool;
        let listed = self.graph.listed(x)?;
        let features = self.linear(&format!("{name}.V"), false, &listed)?;
        let mut features = self.graph.node("Tanh", "tanh", &[&features], []);
        if *gated {
            let gate = self.linear(&format!("{name}.U"), false, &listed)?;
            let gate = self.graph.node("Sigmoid", "gate", &[&gate], []);
            features = self.graph.node("Mul", "gated", &[&features, &gate], []);
        }
        let weights = self.linear(&format!("{name}.w"), false, &features)?;
        let shares = self.graph.node("Softmax", "attention", &[&weights], [attribute("axis", 1)]);
        let shares = self.graph.transpose(&shares, &[0, 2, 1]);
        let mean = self.graph.node("MatMul", name, &[&shares, &listed], []);
        let found = self.graph.reshape(&mean, &[0, int(x.channels)]);
        Ok(GraphValue { name: found, height: 1, width: 1, channels: x.channels, layout: ValueLayout::Vector })
    }

    pub(super) fn class_token(&mut self, token: &ClassToken, x: &GraphValue) -> Result<GraphValue, StageError> {
        let listed = self.graph.listed(x)?;
        let (_, values) = tensor(self.weights, &token.name)?;
        let row = self.graph.floats(&token.name, &[1, 1, x.channels], values);
        let shape = self.graph.node("Shape", "shape", &[&listed], []);
        let batch = self.graph.slice(&shape, 0, 0, 1);
        let sides = self.graph.ints(&[1, int(x.channels)]);
        let shape = self.graph.concat("shape", &[&batch, &sides], 0);
        let row = self.graph.node("Expand", &token.name, &[&row, &shape], []);
        let all = self.graph.concat("tokens", &[&row, &listed], 1);
        let wide = GraphValue { height: 1, width: x.pixels() + 1, ..x.clone() };
        Ok(self.unlisted(&all, &wide, x.channels))
    }

    pub(super) fn position_table(&mut self, table: &PositionTable, x: &GraphValue) -> Result<GraphValue, StageError> {
        let x = self.graph.to(x, ValueLayout::Pixels)?;
        let (_, values) = tensor(self.weights, &table.name)?;
        let table = self.graph.floats(&table.name, &[1, x.height, x.width, x.channels], values);
        Ok(x.mapped(self.graph.node("Add", "positions", &[&x.name, &table], [])))
    }

    /// Pixels of a list, with the sides of `like`.
    fn unlisted(&mut self, listed: &str, like: &GraphValue, channels: usize) -> GraphValue {
        let &GraphValue { height, width, .. } = like;
        let name = self.graph.reshape(listed, &[0, int(height), int(width), int(channels)]);
        GraphValue { name, height, width, channels, layout: ValueLayout::Pixels }
    }
}

/// What is added to the similarities of the pixels of each window: windows x pixels x pixels. Pixels that the shift brought together from
/// opposite edges of the map do not attend to each other.
fn apart(sides: [usize; 2], window: usize, shifts: [usize; 2]) -> Vec<f32> {
    let part = |at: usize, side: usize, shift: usize| match shift {
        0 => 0,
        _ => u8::from(at >= side - window) + u8::from(at >= side - shift),
    };
    let mut all = Vec::new();
    for top in (0..sides[0]).step_by(window) {
        for left in (0..sides[1]).step_by(window) {
            let pixels = (0..window).flat_map(|row| (0..window).map(move |column| (top + row, left + column)));
            let parts: Vec<[u8; 2]> = pixels
                .map(|(row, column)| [part(row, sides[0], shifts[0]), part(column, sides[1], shifts[1])])
                .collect();
            for one in &parts {
                all.extend(parts.iter().map(|other| if one == other { 0.0 } else { APART }));
            }
        }
    }
    all
}
