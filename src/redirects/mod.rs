//! Where a browser may be sent.
//!
//! | file | contents |
//! |---|---|
//! | `return_path.rs` | return paths: from the `next` of a login, or from a `Location` |
//! | `site.rs` | the site that browsers see: its origins, paths and pages |

pub mod return_path;
pub mod site;
