//! What people and scripts get to see.

pub mod escape;
pub mod json_text;
pub mod size;
