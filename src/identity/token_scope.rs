//! The scope of a token: which of its owner's rights it has.
//!
//! 1. A token may do what its principal may do, limited by its scope. A token without a scope is not limited.
//! 2. A scope has up to three parts: operations, methods and addresses. A part that is missing limits nothing.
//! 3. `operations` are names of operations (`orders.list`), or a prefix with `*` as the last segment (`orders.*`),
//!    which matches one or more segments. A rule without an operation is outside of every scope with `operations`.
//! 4. `methods` are names of methods. `GET` includes `HEAD`, as in rules.
//! 5. `addresses` are addresses or ranges (CIDR, RFC 4632). The client's address is `CF-Connecting-IP`. A request
//!    without a valid one is outside of every scope with `addresses`.
//! 6. [`check`] runs before the access check. A public rule uses no credential, so it skips the check. A few built-in
//!    routes are for any scope (`BuiltInRoute::for_any_scope`).
//! 7. A token that another token makes has at most the scope of its parent ([`TokenScope::narrowed_to`]).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    http::{
        problem::{OutOfScope, Rejection},
        request::{Request, SUPPORTED_METHODS},
    },
    routing::{
        report::{Checked, ReportMode},
        rule::{Destination, Rule, is_operation},
    },
};

/// The scope of a token. A part that is `None` limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenScope {
    /// Operations, each a name or a prefix with `*`.
    #[serde(rename = "operations")]
    pub operations: Option<Vec<String>>,
    /// Methods, in upper case.
    #[serde(rename = "methods")]
    pub methods: Option<Vec<String>>,
    /// Addresses and ranges of addresses.
    #[serde(rename = "addresses")]
    pub addresses: Option<Vec<String>>,
}

/// Proof that the credential's scope covers the request, or that its refusal was only reported.
#[derive(Clone, Copy, Debug)]
pub struct InScope(Checked<()>);

impl InScope {
    const CHECKED: Self = Self(Checked::Passed(()));

    /// Lets a request pass whose refusal was reported.
    #[must_use]
    pub fn by_report(mode: ReportMode) -> Self {
        Self(Checked::Reported(mode))
    }

    /// Returns the permission, if the request was refused and that was only reported.
    #[must_use]
    pub fn reported(&self) -> Option<ReportMode> {
        self.0.reported()
    }
}

/// Checks that the scope of the request's token covers the request. `None` is a token without a scope, another
/// credential, or no credential.
///
/// # Errors
/// [`Rejection::ForbiddenScope`] with the first part that does not cover the request.
pub fn check(scope: Option<&TokenScope>, rule: &Rule, request: &Request<'_>) -> Result<InScope, Rejection> {
    let is_for_any_scope = matches!(rule.destination, Destination::Endpoint(route) if route.for_any_scope);
    let Some(scope) = scope.filter(|_| !is_for_any_scope) else { return Ok(InScope::CHECKED) };
    let missing = if !scope.allows_operation(rule.operation.as_deref()) {
        OutOfScope::Operation
    } else if !scope.allows_method(request.method) {
        OutOfScope::Method
    } else if !scope.allows_address(request.client_address()) {
        OutOfScope::Address
    } else {
        return Ok(InScope::CHECKED);
    };
    Err(Rejection::ForbiddenScope(missing))
}

impl TokenScope {
    /// Returns whether the scope limits nothing.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        let Self { operations, methods, addresses } = self;
        operations.is_none() && methods.is_none() && addresses.is_none()
    }

    /// Checks whether the scope has an operation. `None` is a rule without an operation.
    #[must_use]
    pub fn allows_operation(&self, operation: Option<&str>) -> bool {
        let Some(patterns) = &self.operations else { return true };
        operation.is_some_and(|operation| patterns.iter().any(|pattern| pattern_covers(pattern, operation)))
    }

    /// Checks whether the scope has a method.
    #[must_use]
    pub fn allows_method(&self, method: &str) -> bool {
        let Some(methods) = &self.methods else { return true };
        methods.iter().any(|allowed| method_covers(allowed, method))
    }

    /// Checks whether the scope has an address. `None` is a request without a valid address.
    #[must_use]
    pub fn allows_address(&self, address: Option<IpAddr>) -> bool {
        let Some(ranges) = &self.addresses else { return true };
        let Some(address) = address.map(|address| AddressRange { address, prefix: bits(address) }) else {
            return false;
        };
        ranges.iter().filter_map(|range| AddressRange::parse(range)).any(|range| range.covers(address))
    }

    /// Fills each missing part with the parent's part, and fails if a present part exceeds the parent's.
    ///
    /// # Errors
    /// The first part in which this scope has more than the parent's.
    pub fn narrowed_to(self, parent: &Self) -> Result<Self, OutOfScope> {
        Ok(Self {
            operations: narrow(self.operations, parent.operations.as_deref(), pattern_covers)
                .map_err(|ExceedsParent| OutOfScope::Operation)?,
            methods: narrow(self.methods, parent.methods.as_deref(), method_covers)
                .map_err(|ExceedsParent| OutOfScope::Method)?,
            addresses: narrow(self.addresses, parent.addresses.as_deref(), range_covers)
                .map_err(|ExceedsParent| OutOfScope::Address)?,
        })
    }
}

/// Returns whether a token of one scope may make a token of another. `None` limits nothing.
#[must_use]
pub fn allows_child(parent: Option<&TokenScope>, child: Option<&TokenScope>) -> bool {
    let Some(parent) = parent else { return true };
    child.is_some_and(|child| child.clone().narrowed_to(parent).is_ok_and(|narrowed| narrowed == *child))
}

/// A part of a scope has an item that the same part of its parent's scope does not cover.
struct ExceedsParent;

/// Returns the items of one part, or the parent's if there are none.
fn narrow(
    items: Option<Vec<String>>,
    parent: Option<&[String]>,
    covers: impl Fn(&str, &str) -> bool,
) -> Result<Option<Vec<String>>, ExceedsParent> {
    let Some(parent) = parent else { return Ok(items) };
    let Some(items) = items else { return Ok(Some(parent.to_vec())) };
    let is_covered = |item: &String| parent.iter().any(|allowed| covers(allowed, item));
    if items.iter().all(is_covered) { Ok(Some(items)) } else { Err(ExceedsParent) }
}

/// Checks that a pattern covers another one: it matches each name that the other one matches. A name matches only
/// itself.
fn pattern_covers(pattern: &str, other: &str) -> bool {
    match pattern.strip_suffix('*') {
        // The prefix ends with its dot, or is empty.
        Some(prefix) => other.len() > prefix.len() && other.starts_with(prefix),
        None => pattern == other,
    }
}

fn method_covers(allowed: &str, method: &str) -> bool {
    allowed == method || (allowed == "GET" && method == "HEAD")
}

fn range_covers(allowed: &str, other: &str) -> bool {
    let (Some(allowed), Some(other)) = (AddressRange::parse(allowed), AddressRange::parse(other)) else {
        return false;
    };
    allowed.covers(other)
}

/// Checks for the pattern of an operation: a dotted name of up to 64 bytes, or one whose last segment is `*`.
#[must_use]
pub fn is_operation_pattern(text: &str) -> bool {
    text == "*" || is_operation(text.strip_suffix(".*").unwrap_or(text))
}

/// Checks for a method that the platform accepts.
#[must_use]
pub fn is_method(text: &str) -> bool {
    SUPPORTED_METHODS.contains(&text)
}

/// Checks for an address or a range of addresses.
#[must_use]
pub fn is_address_range(text: &str) -> bool {
    AddressRange::parse(text).is_some()
}

/// An address, or all addresses that begin with its first `prefix` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AddressRange {
    address: IpAddr,
    prefix: u32,
}

impl AddressRange {
    /// Parses `192.0.2.0/24`, `2001:db8::/32` or an address. Bits after the prefix must be zero: a range that was meant
    /// otherwise is not guessed. An IPv4 address is not written as IPv6, because no client has such an address.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let is_mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        let prefix = match prefix {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
            None => bits(address),
        };
        let range = Self { address, prefix };
        let is_valid = prefix <= bits(address) && !is_mapped && range.host_bits() == 0;
        is_valid.then_some(range)
    }

    /// Returns the bits after the prefix.
    fn host_bits(self) -> u128 {
        number(self.address) & !mask(bits(self.address).saturating_sub(self.prefix))
    }

    /// Checks that each address of the other range is in this one.
    fn covers(self, other: Self) -> bool {
        let host = bits(self.address).saturating_sub(self.prefix);
        bits(self.address) == bits(other.address)
            && self.prefix <= other.prefix
            && number(self.address) & mask(host) == number(other.address) & mask(host)
    }
}

/// Returns the number of bits of an address.
fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Returns a mask without the last `host` bits.
fn mask(host: u32) -> u128 {
    u128::MAX.checked_shl(host).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unnecessary_wraps, reason = "a test may fail")]
mod tests;
