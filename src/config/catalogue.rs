//! Parses a rule's `catalogue`, and builds the catalogue of operations for agents.

use serde_json::Value;
use url::Url;

use super::{
    Config,
    mistake::Mistakes,
    reader::{Table, expected},
    schema::CATALOGUE,
};
use crate::{
    guards::limits::{Limit, LimitBy},
    http::origin::Origin,
    identity::{access, principal::Principal, token_scope::TokenScope},
    routing::rule::{Access, Listed, Rule, Table as Rules},
    tokens::catalogue::{Catalogue, ListedLimit, SiteInfo},
};

/// Parses a rule's `catalogue`. Returns `None` if the catalogue does not list the rule.
pub(super) fn parse_for_rule(members: &Table<'_>, mistakes: &Mistakes) -> Option<Listed> {
    let value = members.value("catalogue")?;
    let listed = match value {
        Value::Bool(true) => Listed::default(),
        Value::Bool(false) => return None,
        Value::Object(_) => {
            let table = Table::open(members.path_of("catalogue"), Some(value), CATALOGUE, mistakes);
            Listed {
                summary: table.parse_shape("summary", |text| {
                    (1..=200).contains(&text.chars().count()).then(|| text.to_owned())
                }),
                schema: table.parse_shape("schema", |text| {
                    let is_valid =
                        text.starts_with('/') || Url::parse(text).is_ok_and(|url| url.scheme() == "https");
                    is_valid.then(|| text.to_owned())
                }),
            }
        }
        other => {
            members.report("catalogue", expected("true or a table", other));
            return None;
        }
    };
    for (name, message) in [
        ("operation", "required with catalogue: agents use it as the name of the operation"),
        ("methods", "required with catalogue: the catalogue lists the methods for agents"),
    ] {
        if !members.has(name) {
            members.report(name, message);
        }
    }
    Some(listed)
}

impl Config {
    /// Builds the catalogue of the listed rules that the principal of a token may use, within the token's scope.
    #[must_use]
    pub fn catalogue_for(&self, principal: &Principal, scope: Option<&TokenScope>) -> Catalogue {
        let site = SiteInfo {
            origin: self.site.return_path.public.first().map_or("", Origin::as_str),
            cookie: self.sessions.policy.cookie.as_str(),
            kinds: &self.tokens.kinds,
        };
        build(&self.rules, &self.limits, site, &|rule, method| {
            // A public rule uses no credential, so nothing cuts it.
            rule.access == Access::Public
                || access::may_use(rule, principal)
                    && scope.is_none_or(|scope| {
                        scope.allows_operation(rule.operation.as_deref()) && scope.allows_method(method)
                    })
        })
    }
}

/// Builds the catalogue of the listed rules. `is_for` leaves out what the reader may not use.
pub(super) fn build(
    rules: &Rules,
    limits: &[Limit],
    site: SiteInfo<'_>,
    is_for: &dyn Fn(&Rule, &str) -> bool,
) -> Catalogue {
    let all = rules.rules().iter().map(|rule| {
        let limit = rule.limit.and_then(|index| limits.get(index)).map(|limit| {
            let by = match limit.by {
                LimitBy::Address => "address",
                LimitBy::Principal => "principal",
            };
            ListedLimit { rate: limit.rate, by }
        });
        (rule, limit)
    });
    Catalogue::of(all, site, is_for)
}
