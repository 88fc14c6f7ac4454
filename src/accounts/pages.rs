//! The pages of Vestibule: signing in, the account, approvals, the console. They are static files, which the build makes from
//! `www/`.
//!
//! 1. All pages are in one folder of the assets binding `ASSETS`: `_vestibule`. A page is a file `NAME.page`, and
//!    everything that pages load is in `assets/`. No file there is named `.html`. So a response of the type `text/html`
//!    is never a file of ours: some settings of static assets answer every unknown path with the application's
//!    `index.html`.
//! 2. Clients see the pages under a prefix (`PAGES`). A page is the prefix and its name. Other paths are 404. The
//!    console is only for admins; the other pages are for everybody.
//! 3. The request to `ASSETS` has only the path and `If-None-Match`: no cookie and no other header of the client.
//! 4. A page has a strict policy: it loads scripts and styles only from this site, has none in its text, and is never
//!    in a frame ([`PageFile::headers`]).
//! 5. Files under `assets/` have the hash of their content in their names, so browsers keep them. Pages are validated
//!    at each use.

use url::Url;

/// Settings of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// The path prefix.
    pub prefix: &'static str,
}

/// How the pages present the operator (`BRANDING`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branding {
    /// The name of the site.
    pub name: Option<String>,
    /// The logo: an `https` URL, or a path of this site.
    pub logo: Option<String>,
    /// The accent colour: `#rrggbb`.
    pub accent: Option<String>,
}

/// A path under the prefix of the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PagePath {
    /// The prefix itself. It leads to the account page.
    Root,
    /// A file.
    File(PageFile),
    /// Neither.
    Unknown,
}

/// A file of the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFile {
    /// The path in the assets binding.
    pub path: String,
    /// Whether it is a page. Other files are what pages load.
    pub is_page: bool,
}

impl Pages {
    /// Returns the path of a page.
    #[must_use]
    pub fn path(self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// Finds what a canonical path leads to.
    #[must_use]
    pub fn find(self, path: &str) -> PagePath {
        let Some(rest) = path.strip_prefix(self.prefix) else { return PagePath::Unknown };
        let name = rest.strip_prefix('/').unwrap_or(rest);
        if name.is_empty() {
            return PagePath::Root;
        }
        if NAMES.contains(&name) {
            return PagePath::File(PageFile { path: format!("/{FOLDER}/{name}.page"), is_page: true });
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        match name.strip_prefix("assets/") {
            Some(file) if !file.is_empty() && file.bytes().all(is_plain) => {
                PagePath::File(PageFile { path: format!("/{FOLDER}/{name}"), is_page: false })
            }
            _ => PagePath::Unknown,
        }
    }
}

impl PageFile {
    /// Checks whether a response of the assets binding is this file.
    #[must_use]
    pub fn is_found(&self, status: u16, content_type: Option<&str>) -> bool {
        let is_html = content_type.is_some_and(|value| value.trim_start().starts_with("text/html"));
        status == 304 || (status == 200 && !is_html)
    }

    /// Returns the headers to set on the response. `sets_cookies`: the same response expires session cookies.
    #[must_use]
    pub fn headers(&self, branding: &Branding, sets_cookies: bool) -> Vec<(&'static str, String)> {
        let caching = match (self.is_page, sets_cookies) {
            (_, true) => "private, no-store",
            (true, false) => "private, no-cache",
            (false, false) => "public, max-age=31536000, immutable",
        };
        let mut headers = vec![
            ("cache-control", caching.to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            ("cross-origin-resource-policy", "same-origin".to_owned()),
        ];
        if self.is_page {
            headers.extend([
                ("content-type", "text/html; charset=utf-8".to_owned()),
                ("content-security-policy", policy(branding)),
                ("x-frame-options", "DENY".to_owned()),
                // Requests within the site have a `Referer`; other sites get none.
                ("referrer-policy", "same-origin".to_owned()),
                ("cross-origin-opener-policy", "same-origin".to_owned()),
            ]);
        }
        headers
    }
}

/// Returns the `Content-Security-Policy` of a page.
fn policy(branding: &Branding) -> String {
    let logo = branding.logo.as_deref().and_then(|logo| Url::parse(logo).ok());
    let logo = logo.map(|url| format!(" {}", url.origin().ascii_serialization())).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:{logo}; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
}

/// The page on which users sign in.
pub const SIGN_IN: &str = "sign-in";

/// The account page.
pub const ACCOUNT: &str = "account";

/// The console: the only page that is for admins. The others are for everybody.
pub const CONSOLE: &str = "console";

/// All pages.
pub const NAMES: &[&str] =
    &[SIGN_IN, "setup", "invite", "reset", "factor", ACCOUNT, "approval", CONSOLE, "error"];

/// The pages to which a return path may lead. The others are steps on the way to one.
pub const RETURN_PAGES: &[&str] = &[ACCOUNT, "approval", CONSOLE];

/// The folder of the pages in the assets binding.
const FOLDER: &str = "_vestibule";

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: Pages = Pages { prefix: "/auth/x" };

    #[test]
    fn finds_pages_and_their_files() {
        let file = |path: &str, is_page| PagePath::File(PageFile { path: path.to_owned(), is_page });
        for (path, want) in [
            ("/auth/x", PagePath::Root),
            ("/auth/x/", PagePath::Root),
            ("/auth/x/sign-in", file("/_vestibule/sign-in.page", true)),
            ("/auth/x/account", file("/_vestibule/account.page", true)),
            ("/auth/x/assets/a-1B_2.js", file("/_vestibule/assets/a-1B_2.js", false)),
            ("/auth/x/sign-in.page", PagePath::Unknown),
            ("/auth/x/sign-in/", PagePath::Unknown),
            ("/auth/x/assets/", PagePath::Unknown),
            ("/auth/x/assets/a/b.js", PagePath::Unknown),
            ("/auth/x/assets/%2e.js", PagePath::Unknown),
            ("/auth/x/secret", PagePath::Unknown),
            ("/other", PagePath::Unknown),
        ] {
            assert_eq!(PAGES.find(path), want, "{path}");
        }
    }

    #[test]
    fn a_page_of_the_application_is_not_a_file_of_ours() {
        let PagePath::File(page) = PAGES.find("/auth/x/sign-in") else { panic!("a page") };
        for (status, content_type, want) in [
            (200, None, true),
            (200, Some("application/octet-stream"), true),
            (200, Some("text/html"), false),
            (200, Some("text/html; charset=utf-8"), false),
            (304, None, true),
            (307, None, false),
            (404, None, false),
            (500, None, false),
        ] {
            assert_eq!(page.is_found(status, content_type), want, "{status} {content_type:?}");
        }
    }

    #[test]
    fn a_page_runs_no_script_of_its_text_and_is_never_framed() {
        let page = PageFile { path: String::new(), is_page: true };
        for (logo, images) in [
            (None, "img-src 'self' data:;"),
            (Some("/logo.svg"), "img-src 'self' data:;"),
            (Some("https://cdn.example/a/logo.svg?x='y'"), "img-src 'self' data: https://cdn.example;"),
        ] {
            let branding = Branding { logo: logo.map(str::to_owned), ..Branding::default() };
            let headers = page.headers(&branding, false);
            let value =
                |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
            let policy = value("content-security-policy").expect("a policy");
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
                "{policy}"
            );
            assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"));
            assert!(policy.contains(images) && !policy.contains("unsafe"), "{policy}");
            assert_eq!(value("cache-control").map(String::as_str), Some("private, no-cache"));
        }
    }

    #[test]
    fn browsers_keep_files_with_a_hash_unless_the_response_sets_cookies() {
        let file = PageFile { path: String::new(), is_page: false };
        for (sets_cookies, want) in
            [(false, "public, max-age=31536000, immutable"), (true, "private, no-store")]
        {
            let headers = file.headers(&Branding::default(), sets_cookies);
            assert!(headers.contains(&("cache-control", want.to_owned())));
        }
    }
}
