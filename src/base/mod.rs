//! What every other folder uses: encodings, time, JSON as it was written, caches, sorting.
//!
//! | file | contents |
//! |---|---|
//! | `cache.rs` | a cache in an isolate's memory, bounded in number and in age |
//! | `encoding.rs` | base64 and hex |
//! | `json.rs` | JSON text read directly: duplicate members are found, numbers keep their text |
//! | `outline.rs` | keeps code that few requests need out of the functions that every request runs |
//! | `sorting.rs` | sorts lists of all types with one compiled sort |
//! | `time.rs` | timestamps and durations |

pub mod cache;
pub mod encoding;
pub mod json;
pub mod outline;
pub mod sorting;
pub mod time;
