//! The graph of stages, its order, and the one engine that decides what must run. The only floor that knows `petgraph`.

pub mod drawings;
