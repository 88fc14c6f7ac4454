//! A person's approval of a machine's request.

pub mod confirmations;
pub mod consent;
pub mod endpoints;
