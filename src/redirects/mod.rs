//! Where a browser may be sent.

pub mod return_path;
pub mod site;
