//! Requests to upstream: identity headers, the signed assertion, and the lookup of an owner.

pub mod assertion;
pub mod forward;
pub mod ownership;
pub mod settings;
