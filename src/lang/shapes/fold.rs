//! Tables of layers for people: repeated layers are listed once.

use super::{LayerShape, TensorShape};

/// Most layers of the outermost level in one repetition.
const LONGEST: usize = 8;

/// The rows, with a row `repeat` before those that stand for several copies that differ only in their
/// names. Its counts are those of all copies; the first copy follows below it. Only copies of two rows or more
/// that start with tensors are folded.
#[must_use]
pub fn folded(rows: &[LayerShape]) -> Vec<LayerShape> {
    // Start of each layer of the outermost level.
    let starts: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].depth == 0).chain([rows.len()]).collect();
    let mut out = Vec::with_capacity(rows.len());
    let mut at = 0;
    while at + 1 < starts.len() {
        let first = starts[at];
        let found = (1..=LONGEST.min(starts.len() - 1 - at)).find_map(|period| {
            let length = starts[at + period] - first;
            let times = 1 + (1..rows.len()).take_while(|time| same(rows, first, first + time * length, length)).count();
            // A copy starts with a layer that has tensors, so that an activation stays with the layer before it.
            let tensors = rows[first..starts[at + 1]].iter().any(|row| row.parameters > 0);
            (times > 1 && length > 1 && tensors).then_some((period, length, times))
        });
        let Some((period, length, times)) = found else {
            out.extend_from_slice(&rows[first..starts[at + 1]]);
            at += 1;
            continue;
        };
        let copies: Vec<&[LayerShape]> = rows[first..first + times * length].chunks(length).collect();
        let one = copies[0];
        let total = |of: fn(&LayerShape) -> u64| one.iter().map(of).sum::<u64>() * times as u64;
        out.push(LayerShape {
            kind: "repeat",
            name: format!("{times} times: {} … {}", common(one), common(copies[times - 1])),
            point: String::new(),
            depth: 0,
            out: one.last().map_or(TensorShape::Vector { features: 0 }, |row| row.out),
            parameters: total(|row| row.parameters),
            multiply_adds: total(|row| row.multiply_adds),
        });
        // The output of a copy is that of its last outermost layer.
        if let (Some(repeat), Some(last)) = (out.last_mut(), one.iter().rev().find(|row| row.depth == 0)) {
            repeat.out = last.out;
        }
        out.extend(one.iter().map(|row| LayerShape { depth: row.depth + 1, ..row.clone() }));
        at += period * times;
    }
    out
}

/// Whether the rows from `other` on equal those from `one` on, except for names.
fn same(rows: &[LayerShape], one: usize, other: usize, length: usize) -> bool {
    other + length <= rows.len()
        && rows[one..one + length].iter().zip(&rows[other..other + length]).all(|(a, b)| {
            (a.kind, &a.point, a.depth, a.out, a.parameters, a.multiply_adds)
                == (b.kind, &b.point, b.depth, b.out, b.parameters, b.multiply_adds)
        })
}

/// The common prefix of the names of some rows, in whole parts between dots; the first name if there is none.
fn common(rows: &[LayerShape]) -> String {
    let mut names = rows.iter().map(|row| row.name.as_str()).filter(|name| !name.is_empty());
    let Some(first) = names.next() else { return String::new() };
    let mut parts: Vec<&str> = first.split('.').collect();
    parts.pop();
    for name in names {
        let shared = parts.iter().zip(name.split('.')).take_while(|(a, b)| *a == b).count();
        parts.truncate(shared);
    }
    if parts.is_empty() { first.to_owned() } else { parts.join(".") }
}
