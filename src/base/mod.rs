//! Words that every other module uses: encodings, time, JSON as it was written, caches, sorting.

pub mod cache;
pub mod encoding;
pub mod json;
pub mod outline;
pub mod sorting;
pub mod time;
