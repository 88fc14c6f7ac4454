//! The gateway's own pages: one template, one style sheet, one way to write text into HTML.
//!
//! 1. A page is made of [`Html`]: templates, which are string literals of this crate, and texts, which are escaped.
//!    Nothing else can be put into it.
//! 2. A page has no script and loads nothing: its policy ([`headers`]) allows its style sheet by hash, and nothing
//!    more.
//! 3. No other site can show it in a frame. A frame of this site may show the refusal of its own request, but never the
//!    page on which a person approves.

/// Markup in which every inserted text is escaped.
#[derive(Clone, Debug, Default)]
pub struct Html(String);

/// The frames in which a page may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// None: only in a window of its own.
    Nowhere,
    /// Frames in this site's own pages.
    SameOrigin,
}

impl Html {
    /// Creates markup from a template: see [`Html::write`].
    #[must_use]
    pub fn new(template: &'static str, texts: &[&str]) -> Self {
        let mut html = Self::default();
        html.write(template, texts);
        html
    }

    /// Appends a template in which each `{}` is replaced by the next text, escaped. A `{}` stands between tags, or
    /// within an attribute in double quotes.
    pub fn write(&mut self, template: &'static str, texts: &[&str]) {
        let mut texts = texts.iter();
        for (index, part) in template.split("{}").enumerate() {
            if index > 0 {
                self.escape(texts.next().copied().unwrap_or_default());
            }
            self.0.push_str(part);
        }
        debug_assert!(texts.next().is_none(), "more texts than placeholders");
    }

    /// Appends other markup.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Returns a whole page with this content and title.
    #[must_use]
    pub fn into_page(self, title: &str) -> String {
        let mut page = Self::new(HEAD, &[]);
        page.0.push_str(STYLE);
        page.write("</style>\n<title>{}</title>\n</head>\n<body>\n<main>\n", &[title]);
        page.append(&self);
        page.write("</main>\n</body>\n</html>\n", &[]);
        page.0
    }

    fn escape(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
    }
}

/// Returns the headers of a page.
#[must_use]
pub fn headers(frames: Frames) -> [(&'static str, String); 4] {
    let (ancestors, options) = match frames {
        Frames::Nowhere => ("'none'", "DENY"),
        Frames::SameOrigin => ("'self'", "SAMEORIGIN"),
    };
    [
        ("content-type", "text/html; charset=utf-8".to_owned()),
        (
            "content-security-policy",
            format!(
                "default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
            ),
        ),
        ("x-frame-options", options.to_owned()),
        // Requests within the site have a `Referer`; other sites get none.
        ("referrer-policy", "same-origin".to_owned()),
    ]
}

const HEAD: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"robots\" content=\"noindex\">\n<style>",
);

const STYLE: &str = include_str!("page.css");

/// The SHA-256 of [`STYLE`] in base64, by which the policy allows it. A test checks it.
const STYLE_HASH: &str = "YVeIjsd2slHBJ150mR9PI31WjidLlF8ObkWCVHSBqWw=";

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn policy_allows_only_the_style_sheet() {
        assert_eq!(STYLE_HASH, BASE64_STANDARD.encode(Sha256::digest(STYLE)));
        // An HTML parser changes some characters, which would change the hash.
        assert!(STYLE.is_ascii() && !STYLE.contains(['\r', '\0', '<']), "the style sheet");
        for (frames, ancestors) in [(Frames::Nowhere, "'none'"), (Frames::SameOrigin, "'self'")] {
            let headers = headers(frames);
            let (_, policy) =
                headers.iter().find(|(name, _)| *name == "content-security-policy").expect("a policy");
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
            assert!(policy.ends_with(&format!("frame-ancestors {ancestors}")), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
        }
    }

    #[test]
    fn a_page_has_a_language_and_is_not_indexed() {
        let page = Html::new("<p>{}</p>", &["</main><script>{}"]).into_page("\"<&>'");
        for part in [
            "<html lang=\"en\">",
            "name=\"robots\" content=\"noindex\"",
            "name=\"viewport\"",
            "<title>&quot;&lt;&amp;&gt;&#39;</title>",
            "<p>&lt;/main&gt;&lt;script&gt;{}</p>",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    proptest! {
        /// An inserted text cannot end an element, attribute or comment, and is shown unchanged.
        #[test]
        fn text_is_escaped(text in "(.|[<>&\"'{}=/!`-]|--|&lt;|&#39;|</main>|\n|\u{0}){0,60}") {
            let Html(written) = Html::new("{}", &[&text]);
            prop_assert!(!written.contains(['<', '>', '"', '\'']));
            let read = written
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&amp;", "&");
            prop_assert_eq!(read, text);
        }
    }
}
