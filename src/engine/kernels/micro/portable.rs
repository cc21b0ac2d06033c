//! Portable micro-kernels without fused multiply-add, a row at a time: the same bytes on any machine.
#![expect(unsafe_code, reason = "micro-kernels take pointers")]

use std::slice::{from_raw_parts, from_raw_parts_mut};

use super::{Begin, COLUMNS, Gathered, ROWS, Summed};

/// sums += a * b, each product rounded before it is added.
#[inline]
fn add_scaled(sums: &mut [f32; COLUMNS], a: f32, b: &[f32]) {
    for (sum, b) in sums.iter_mut().zip(b) {
        *sum += a * b;
    }
}

/// # Safety
/// As [`super::gathered`].
pub(super) unsafe fn gathered(tile: &Gathered) {
    // SAFETY: the extents are those of the fields, as the caller promises.
    unsafe {
        let panel = from_raw_parts(tile.panel, tile.taps * tile.len * COLUMNS);
        for row in 0..tile.rows {
            let mut sums = [0.0; COLUMNS];
            for (tap, panel) in panel.chunks_exact(tile.len * COLUMNS).enumerate() {
                let part = from_raw_parts(*tile.parts.add(tap * ROWS + row), tile.len);
                for (a, b) in part.iter().zip(panel.chunks_exact(COLUMNS)) {
                    add_scaled(&mut sums, *a, b);
                }
            }
            if !tile.bias.is_null() {
                let bias = from_raw_parts(tile.bias, COLUMNS);
                sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
            }
            if !tile.extra[row].is_null() {
                let extra = from_raw_parts(tile.extra[row], tile.columns);
                sums.iter_mut().zip(extra).for_each(|(sum, extra)| *sum += extra);
            }
            let out = from_raw_parts_mut(tile.out[row], tile.columns);
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = tile.bounds.hold(sum);
            }
        }
    }
}

/// # Safety
/// As [`super::summed`].
pub(super) unsafe fn summed(tile: &Summed) {
    // SAFETY: the extents are those of the fields, as the caller promises.
    unsafe {
        let panel = from_raw_parts(tile.panel, tile.count * COLUMNS);
        let parts = from_raw_parts(tile.parts, tile.count);
        for row in 0..tile.rows {
            let out = from_raw_parts_mut(tile.out.add(row * tile.stride), tile.columns);
            let mut sums = [0.0; COLUMNS];
            if tile.start == Begin::Add {
                sums[..tile.columns].copy_from_slice(out);
            }
            for (part, b) in parts.iter().zip(panel.chunks_exact(COLUMNS)) {
                add_scaled(&mut sums, *part.add(tile.first + row), b);
            }
            out.copy_from_slice(&sums[..tile.columns]);
        }
    }
}
