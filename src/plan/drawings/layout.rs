//! Layered drawing of boxes (Sugiyama, Tagawa and Toda 1981): ranks by longest path, fewer crossings by
//! barycentre sweeps, positions by least squares. Knows only widths and edges.

/// A vertex: a box, or a bend of an edge that passes a rank.
#[derive(Clone, Debug)]
pub(super) struct Vertex {
    /// Its rank, 0 at the top.
    pub(super) rank: usize,
    /// Its centre.
    pub(super) x: f64,
    width: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

/// A finished layout.
#[derive(Debug)]
pub(super) struct DrawingLayout {
    /// Boxes first, in the order given, then bends.
    pub(super) vertices: Vec<Vertex>,
    /// For each edge: its box at the top, its bends, its box at the bottom.
    pub(super) routes: Vec<Vec<usize>>,
    /// Width of the whole; all boxes lie within 0 and it.
    pub(super) width: f64,
    /// Number of ranks.
    pub(super) ranks: usize,
}

/// Sweeps that improve the order within the ranks, alternately down and up. More did not help on pipelines of 60 stages.
const SWEEPS: usize = 24;
/// Passes that improve positions.
const SETTLES: usize = 24;
/// Passes that straighten long edges: one may make room for another.
const STRAIGHTENINGS: usize = 4;
/// Width of a bend.
const BEND: f64 = 10.0;

/// Lays out boxes of `widths`, `gap` apart, with `edges` that go from a lower to a higher index (others are drawn upwards).
pub(super) fn layout(widths: &[f64], edges: &[(usize, usize)], gap: f64) -> DrawingLayout {
    let rank = ranks(widths.len(), edges);
    let box_of = |(&width, &rank): (&f64, &usize)| Vertex { rank, x: 0.0, width, above: vec![], below: vec![] };
    let mut vertices: Vec<Vertex> = widths.iter().zip(&rank).map(box_of).collect();
    let mut routes = Vec::with_capacity(edges.len());
    for &(from, to) in edges {
        let mut route = vec![from];
        for rank in rank[from] + 1..rank[to].max(rank[from] + 1) {
            if rank == vertices[to].rank {
                break;
            }
            route.push(vertices.len());
            vertices.push(Vertex { rank, x: 0.0, width: BEND, above: vec![], below: vec![] });
        }
        route.push(to);
        for pair in route
            .windows(2)
            .filter(|pair| vertices[pair[0]].rank < vertices[pair[1]].rank)
            .map(<[_]>::to_vec)
            .collect::<Vec<_>>()
        {
            vertices[pair[0]].below.push(pair[1]);
            vertices[pair[1]].above.push(pair[0]);
        }
        routes.push(route);
    }
    let count = vertices.iter().map(|vertex| vertex.rank + 1).max().unwrap_or(0);
    let mut rows = vec![Vec::new(); count];
    for (at, vertex) in vertices.iter().enumerate() {
        rows[vertex.rank].push(at);
    }
    order(&vertices, &mut rows);
    settle(&mut vertices, &rows, gap);
    straighten(&mut vertices, &rows, &routes, gap);
    let width = from_zero(&mut vertices);
    DrawingLayout { vertices, routes, width, ranks: count }
}

/// The rank of each box: one below the lowest that it needs; a box without needs is just above the first that needs it.
fn ranks(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut sorted: Vec<(usize, usize)> = edges.iter().copied().filter(|(from, to)| from < to).collect();
    sorted.sort_unstable_by_key(|&(from, to)| (to, from));
    let mut rank = vec![0; count];
    for &(from, to) in &sorted {
        rank[to] = rank[to].max(rank[from] + 1);
    }
    for at in 0..count {
        let needs_nothing = !sorted.iter().any(|&(_, to)| to == at);
        let first_use = sorted.iter().filter(|&&(from, _)| from == at).map(|&(_, to)| rank[to]).min();
        if let Some(first_use) = first_use.filter(|_| needs_nothing) {
            rank[at] = first_use - 1;
        }
    }
    rank
}

/// Orders each row by the barycentres of its neighbours, sweeping down and up; keeps the order with the fewest crossings.
fn order(vertices: &[Vertex], rows: &mut Vec<Vec<usize>>) {
    let mut place = vec![0.0; vertices.len()];
    let note = |row: &[usize], place: &mut [f64]| {
        for (at, &vertex) in row.iter().enumerate() {
            place[vertex] = at as f64;
        }
    };
    for row in rows.iter() {
        note(row, &mut place);
    }
    let mut best = rows.clone();
    let mut fewest = crossings(vertices, rows, &place);
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        for step in 1..rows.len() {
            let at = if down { step } else { rows.len() - 1 - step };
            let row = &mut rows[at];
            let centre = |vertex: usize| {
                let neighbours = if down { &vertices[vertex].above } else { &vertices[vertex].below };
                mean(neighbours.iter().map(|&other| place[other])).unwrap_or(place[vertex])
            };
            row.sort_by(|&a, &b| centre(a).total_cmp(&centre(b)));
            note(row, &mut place);
        }
        let now = crossings(vertices, rows, &place);
        if now < fewest {
            (fewest, best) = (now, rows.clone());
        }
        if fewest == 0 {
            break;
        }
    }
    *rows = best;
}

/// How many pairs of lines between neighbouring ranks cross: inversions, counted in a binary indexed tree (Barth 2004).
fn crossings(vertices: &[Vertex], rows: &[Vec<usize>], place: &[f64]) -> u64 {
    let mut found = 0;
    for row in rows {
        let mut ends: Vec<(usize, usize)> = Vec::new();
        for &vertex in row {
            ends.extend(vertices[vertex].below.iter().map(|&other| (place[vertex] as usize, place[other] as usize)));
        }
        ends.sort_unstable();
        let last = ends.iter().map(|&(_, end)| end + 1).max().unwrap_or(0);
        let mut tree = vec![0u64; last + 1];
        for (seen, &(_, end)) in (0u64..).zip(&ends) {
            let (mut not_after, mut at) = (0, end + 1);
            while at > 0 {
                not_after += tree[at];
                at -= at & at.wrapping_neg();
            }
            found += seen - not_after;
            at = end + 1;
            while at <= last {
                tree[at] += 1;
                at += at & at.wrapping_neg();
            }
        }
    }
    found
}

/// Positions each vertex near the mean of its neighbours, in the row's order, without overlap.
fn settle(vertices: &mut [Vertex], rows: &[Vec<usize>], gap: f64) {
    for row in rows {
        let wishes: Vec<(f64, f64)> = row.iter().map(|_| (0.0, 1.0)).collect();
        set_row(vertices, row, &wishes, gap);
    }
    for round in 0..SETTLES {
        for step in 0..rows.len() {
            let row = &rows[if round % 2 == 0 { step } else { rows.len() - 1 - step }];
            let wish = |&vertex: &usize| {
                let this = &vertices[vertex];
                let neighbours = this.above.iter().chain(&this.below);
                // A bend between bends is straightened first.
                let weight = if this.width == BEND { 4.0 } else { 1.0 };
                (mean(neighbours.map(|&other| vertices[other].x)).unwrap_or(this.x), weight)
            };
            let wishes: Vec<(f64, f64)> = row.iter().map(wish).collect();
            set_row(vertices, row, &wishes, gap);
        }
    }
}

/// Moves everything so that the leftmost box touches 0. Returns the width.
fn from_zero(vertices: &mut [Vertex]) -> f64 {
    let left = vertices.iter().map(|vertex| vertex.x - vertex.width / 2.0).fold(f64::INFINITY, f64::min);
    let left = if left.is_finite() { left } else { 0.0 };
    for vertex in vertices.iter_mut() {
        vertex.x -= left;
    }
    vertices.iter().map(|vertex| vertex.x + vertex.width / 2.0).fold(0.0, f64::max)
}

/// Straightens long edges: runs of bends with room at one position in all their rows are moved there.
fn straighten(vertices: &mut [Vertex], rows: &[Vec<usize>], routes: &[Vec<usize>], gap: f64) {
    let mut place = vec![0; vertices.len()];
    for row in rows {
        for (at, &vertex) in row.iter().enumerate() {
            place[vertex] = at;
        }
    }
    let room = |vertices: &[Vertex], vertex: usize| {
        let (row, at, this) = (&rows[vertices[vertex].rank], place[vertex], &vertices[vertex]);
        let apart = |other: &Vertex| f64::midpoint(other.width, this.width) + gap;
        let low = at.checked_sub(1).map_or(f64::NEG_INFINITY, |before| {
            let other = &vertices[row[before]];
            other.x + apart(other)
        });
        let high = row.get(at + 1).map_or(f64::INFINITY, |&after| vertices[after].x - apart(&vertices[after]));
        (low, high)
    };
    for _ in 0..STRAIGHTENINGS {
        for route in routes.iter().filter(|route| route.len() > 3) {
            let bends = &route[1..route.len() - 1];
            let mut begun = 0;
            while begun < bends.len() {
                let (mut low, mut high) = room(vertices, bends[begun]);
                let mut end = begun + 1;
                while end < bends.len() {
                    let (next_low, next_high) = room(vertices, bends[end]);
                    if low.max(next_low) > high.min(next_high) {
                        break;
                    }
                    (low, high, end) = (low.max(next_low), high.min(next_high), end + 1);
                }
                let run = &bends[begun..end];
                let wish = mean(run.iter().map(|&bend| vertices[bend].x)).unwrap_or(0.0);
                // A box with no room left to either side (rounding) keeps its bend.
                if low <= high {
                    for &bend in run {
                        vertices[bend].x = wish.clamp(low, high);
                    }
                }
                begun = end;
            }
        }
    }
}

/// Positions a row as close as possible to its wishes (position, weight) by least squares, in order and without overlap: with the
/// widths taken off, an isotonic regression, solved by pooling adjacent violators (Ayer et al. 1955).
fn set_row(vertices: &mut [Vertex], row: &[usize], wishes: &[(f64, f64)], gap: f64) {
    let mut offsets = Vec::with_capacity(row.len());
    let mut offset = 0.0;
    for (at, &vertex) in row.iter().enumerate() {
        if at > 0 {
            offset += f64::midpoint(vertices[row[at - 1]].width, vertices[vertex].width) + gap;
        }
        offsets.push(offset);
    }
    // Each pool: sum of weighted wishes, sum of weights, members.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (&(wish, weight), &offset) in wishes.iter().zip(&offsets) {
        pools.push(((wish - offset) * weight, weight, 1));
        while let [.., before, last] = pools[..] {
            if before.0 / before.1 <= last.0 / last.1 {
                break;
            }
            pools.pop();
            pools.pop();
            pools.push((before.0 + last.0, before.1 + last.1, before.2 + last.2));
        }
    }
    let places = pools.iter().flat_map(|&(sum, weight, members)| std::iter::repeat_n(sum / weight, members));
    for ((place, &offset), &vertex) in places.zip(&offsets).zip(row) {
        vertices[vertex].x = place + offset;
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_do_not_overlap_and_edges_go_down() {
        let widths = [90.0, 40.0, 120.0, 60.0, 80.0, 70.0];
        let edges = [(0, 2), (1, 2), (2, 3), (2, 4), (0, 5), (3, 5), (4, 5)];
        let found = layout(&widths, &edges, 20.0);
        assert_eq!(found.ranks, 4);
        for (route, (from, to)) in found.routes.iter().zip(edges) {
            assert_eq!((route[0], route[route.len() - 1]), (from, to));
            assert!(route.windows(2).all(|pair| found.vertices[pair[0]].rank + 1 == found.vertices[pair[1]].rank));
        }
        for a in 0..widths.len() {
            for b in 0..a {
                let (left, right) = (&found.vertices[a], &found.vertices[b]);
                let apart = (left.x - right.x).abs() - f64::midpoint(widths[a], widths[b]);
                assert!(left.rank != right.rank || apart >= 20.0 - 1e-9, "{a} and {b} are {apart} apart");
            }
        }
        assert!(
            found
                .vertices
                .iter()
                .zip(widths)
                .all(|(v, width)| v.x >= width / 2.0 && v.x + width / 2.0 <= found.width + 1e-9)
        );
    }

    #[test]
    fn crossings_that_can_be_avoided_are() {
        // Two chains whose second halves are in the other order.
        let found = layout(&[50.0; 6], &[(0, 3), (1, 2), (3, 5), (2, 4)], 10.0);
        let x = |at: usize| found.vertices[at].x;
        assert_eq!(x(0) < x(1), x(3) < x(2));
        assert_eq!(x(3) < x(2), x(5) < x(4));
        assert_eq!(x(0), x(3), "a chain is straight");
    }

    #[test]
    fn crossings_are_counted() {
        let vertex = |rank, below: &[usize]| Vertex { rank, x: 0.0, width: 1.0, above: vec![], below: below.to_vec() };
        let vertices = [vertex(0, &[3, 2]), vertex(0, &[2]), vertex(1, &[]), vertex(1, &[])];
        assert_eq!(crossings(&vertices, &[vec![0, 1], vec![2, 3]], &[0.0, 1.0, 0.0, 1.0]), 1);
        assert_eq!(crossings(&vertices, &[vec![1, 0], vec![2, 3]], &[1.0, 0.0, 0.0, 1.0]), 0);
    }
}
