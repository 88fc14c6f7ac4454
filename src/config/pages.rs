//! Parses `PAGES` and `BRANDING`.

use super::{
    built_in,
    parse::ParseContext,
    reader::Table,
    schema::{BRANDING, PAGES},
};
use crate::{
    accounts::pages::{Branding, Pages, SIGN_IN},
    http::path::CanonicalPath,
    sessions::settings::Login,
};
use url::Url;

/// The pages, and the reason why they are not served.
pub(super) struct ParsedPages {
    /// `None` if they are not served.
    pub(super) pages: Option<Pages>,
    /// Whether they would be served if there were a binding `ASSETS`.
    pub(super) lack_assets: bool,
}

/// Decides whether the pages are served: with accounts and a binding `ASSETS`, unless the application has a login page
/// of its own (`SESSION.login_path`) and `PAGES` is absent.
pub(super) fn parse(
    top: &Table<'_>,
    session: &Table<'_>,
    login_by: Option<Login>,
    context: &ParseContext<'_>,
) -> ParsedPages {
    let table = Table::open("PAGES", top.value("PAGES"), PAGES, context.mistakes);
    let off = ParsedPages { pages: None, lack_assets: false };
    let Some(prefix) = table.parse_shape("prefix", built_in::parse_prefix) else { return off };
    let pages = Pages { prefix };
    let is_wanted = top.has("PAGES");
    if login_by != Some(Login::Accounts) {
        if is_wanted && login_by.is_some() {
            top.report("PAGES", "requires SESSION.login = \"accounts\": the pages are those of accounts");
        }
        return off;
    }
    let own_login = session.value("login_path").and_then(|path| path.as_str());
    if !is_wanted && session.has("login_path") && own_login != Some(&pages.path(SIGN_IN)) {
        return off;
    }
    if !context.bindings.has("ASSETS") {
        if is_wanted {
            top.report(
                "PAGES",
                "expected a static assets binding ASSETS, found none (see docs/accounts.md#pages)",
            );
        }
        return ParsedPages { pages: None, lack_assets: true };
    }
    if top.value("ENDPOINTS").and_then(|value| value.as_str()).is_some_and(|path| path == prefix) {
        top.report("PAGES", "expected a prefix other than ENDPOINTS");
    }
    ParsedPages { pages: Some(pages), lack_assets: false }
}

/// Parses `BRANDING`.
pub(super) fn branding(top: &Table<'_>, login_by: Option<Login>, context: &ParseContext<'_>) -> Branding {
    if top.has("BRANDING") && login_by.is_some_and(|login| login != Login::Accounts) {
        top.report("BRANDING", "requires SESSION.login = \"accounts\": it is for the pages of accounts");
    }
    let table = Table::open("BRANDING", top.value("BRANDING"), BRANDING, context.mistakes);
    Branding {
        name: table.parse_shape("name", |text| is_name(text).then(|| text.to_owned())),
        logo: table.parse_shape("logo", |text| is_logo(text).then(|| text.to_owned())),
        accent: table.parse_shape("accent", |text| is_colour(text).then(|| text.to_ascii_lowercase())),
    }
}

fn is_name(text: &str) -> bool {
    (1..=60).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}

/// Checks for an `https` URL without credentials, or a path of this site.
fn is_logo(text: &str) -> bool {
    if text.starts_with('/') {
        let is_canonical = CanonicalPath::parse(text).is_ok_and(|path| path.as_str() == text);
        return is_canonical && !text.contains("//");
    }
    let is_plain =
        |url: Url| url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    text.starts_with("https://") && text.is_ascii() && Url::parse(text).is_ok_and(is_plain)
}

fn is_colour(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
