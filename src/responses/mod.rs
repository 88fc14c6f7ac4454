//! Responses to clients: refusals, pages, and edits of upstream's responses.

pub mod origin_check;
pub mod refusal;
pub mod response;
pub mod shadowed;
