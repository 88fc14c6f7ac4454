//! A request with its rule.

use super::rule::Rule;
use crate::{
    http::{header_filter::ForwardedRequest, request::Request},
    platform::event::RequestMeta,
};

/// A request, the rule that it falls under, and what is forwarded of it.
#[derive(Clone, Copy, Debug)]
pub struct RoutedRequest<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The request as upstream gets it.
    pub forwarded: &'a ForwardedRequest<'a>,
    /// The canonical path with the query.
    pub target: &'a str,
    /// The time and the id of the request.
    pub meta: RequestMeta<'a>,
}

impl<'a> RoutedRequest<'a> {
    /// Returns the request as received.
    #[must_use]
    pub fn request(&self) -> &'a Request<'a> {
        self.forwarded.request
    }
}
