//! Tests of the store, the plan and the runner, with small stages of their own.
