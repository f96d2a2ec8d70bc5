//! The `btget` program.

fn main() {}
