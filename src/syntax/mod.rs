//! From text to a tree that never loses a byte: scan, guard, parse, cursor. The only floor that knows the `kdl` crate.
