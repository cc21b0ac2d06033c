//! What people see while macula works: plain lines, or a live display on a terminal.

pub mod table;
