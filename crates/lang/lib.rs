//! From the text of a pipeline to checked stages with every value filled in. Knows no store and no photograph.

#[path = "../../src/base/mod.rs"]
pub mod base;
#[path = "../../src/diag/mod.rs"]
pub mod diag;
#[path = "../../src/lang/mod.rs"]
pub mod lang;
#[path = "../../src/syntax/mod.rs"]
pub mod syntax;
