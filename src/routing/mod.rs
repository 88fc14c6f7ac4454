//! The route table and its only matcher.

pub mod owner;
pub mod routed;
pub mod rule;
