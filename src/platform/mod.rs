//! The interface between the core and the platform: effects, objects and their stores, the log line, the steps of a request.

pub mod body_budget;
pub mod effects;
pub mod event;
pub mod memory;
pub mod once;
pub mod sampling;
pub mod step;
pub mod store;
