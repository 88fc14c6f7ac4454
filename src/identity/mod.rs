//! Who makes a request, and whether they may: principals, authors of commands, access levels, the cross-site check.

pub mod access;
pub mod author;
pub mod call;
pub mod csrf;
pub mod ended;
pub mod principal;
pub mod scope;
