//! Tests of derived.
