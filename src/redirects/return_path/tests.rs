use proptest::prelude::*;

use super::*;

fn policy() -> Policy {
    let origins = |texts: &[&str]| texts.iter().map(|text| Origin::parse(text).expect("an origin")).collect();
    Policy {
        login: "/login".into(),
        home: "/home".into(),
        endpoints: ["/api/auth/me", "/api/auth/logout", "/api/sessions/{id}"].map(LaxPattern::of).into(),
        sign_ins: ["/link/{token}", "/in/{*rest}"].map(LaxPattern::of).into(),
        public: origins(&["https://app.example"]),
        elsewhere: origins(&["https://pay.example"]),
    }
}

#[test]
fn accepts_only_paths_of_this_site() {
    for (candidate, want) in [
        ("/", Some("/")),
        ("/a/b?x=//evil&y=%2f%0a#f", Some("/a/b?x=//evil&y=%2f%0a#f")),
        ("/?next=https://evil.example", Some("/?next=https://evil.example")),
        ("/a%20b/é", Some("/a%20b/%C3%A9")),
        ("/a?b|c#d|e", Some("/a?b%7Cc#d%7Ce")),
        ("/a?100%#50%zz", Some("/a?100%25#50%25zz")),
        ("/a?[b]{c}^`#[d]{e}^`#f", Some("/a?%5Bb%5D%7Bc%7D%5E%60#%5Bd%5D%7Be%7D%5E%60%23f")),
        ("/a?b\\c#d\\e", Some("/a?b%5Cc#d%5Ce")),
        ("/a#b?c/d", Some("/a#b?c/d")),
        ("/a|b[c]", Some("/a%7Cb%5Bc%5D")),
        ("/a//b", Some("/a//b")),
        ("/login2", Some("/login2")),
        ("/login", None),
        ("/login?next=/", None),
        ("/%6cogin", None),
        ("/api/auth/logout", None),
        ("/api//auth/logout", None),
        ("", None),
        ("a", None),
        ("//evil.example", None),
        ("///evil.example", None),
        ("/\\evil.example", None),
        ("\\/evil.example", None),
        ("/%5cevil.example", None),
        ("/%2fevil.example", None),
        ("/%252fevil.example", None),
        ("/a/%2e%2e//evil.example", None),
        ("/.//evil.example", None),
        ("/..//evil.example", None),
        ("/\t/evil.example", None),
        ("/\u{85}/evil.example", None),
        ("/a?\n", None),
        ("/a%0d%0aSet-Cookie:x", None),
        ("https://app.example/", None),
        ("javascript:alert(1)", None),
        (" /a", None),
    ] {
        let accepted = policy().accept(candidate);
        assert_eq!(accepted.as_ref().map(ReturnTo::as_str), want, "{candidate:?}");
    }
    assert!(policy().accept(&format!("/{}", "a".repeat(LONGEST))).is_none());
    assert!(policy().accept(&format!("/{}", "a".repeat(LONGEST - 1))).is_some());
}

/// Returns spellings that some server may read as this path.
fn spellings(path: &str) -> Vec<String> {
    let upper = path.to_ascii_uppercase();
    let (head, tail) = path.rsplit_once('/').expect("a path");
    vec![
        path.to_owned(),
        upper.clone(),
        format!("{path}/"),
        format!("{path}//"),
        format!("{upper};v=1/"),
        format!("{path};"),
        format!("{path}%3bx"),
        format!("{head};x/{tail}"),
        format!("{head}//{tail}"),
        format!("{head}/;/{tail}"),
        format!("/{path}").replacen("//", "/;x/", 1),
        format!("{path}."),
        format!("{path}%20"),
        format!("{path} "),
        format!("{path}%3F"),
        format!("{path}%23a/b"),
        format!("{path}/%3Fa"),
        format!("{path}.html"),
        format!("{path}/index.html"),
        format!("{path}?a=b"),
        format!("{path}#a"),
        path.replace('o', "%6f").replace('i', "%69"),
    ]
}

#[test]
fn rejects_every_spelling_of_an_excluded_path() {
    let policy = policy();
    for path in
        ["/login", "/api/auth/me", "/api/auth/logout", "/api/sessions/ses_1", "/link/t", "/in/a", "/in/a/b"]
    {
        for spelling in spellings(path) {
            assert_eq!(policy.accept(&spelling), None, "{spelling}");
        }
    }
    for path in ["/login2", "/log", "/logi/n", "/api/auth", "/api/auth/me/x", "/api/sessions", "/link", "/li"]
    {
        assert!(policy.accept(path).is_some(), "{path}");
    }
    // A pattern that matches `/in/` also matches `/in`.
    assert_eq!(policy.accept("/in"), None);
}

#[test]
fn allows_more_targets_for_upstream_than_for_clients() {
    let policy = policy();
    let is_allowed = |location: &str| policy.hold(location).as_str() != "/home";
    for (path, allowed_for_upstream, allowed_for_client) in [
        ("/a", true, true),
        ("/login", true, true),
        ("/Login;x/", true, true),
        ("/link/t", true, false),
        ("/LINK/t", true, false),
        ("/api/auth/logout", false, false),
        ("/API/auth/logout/", false, false),
        ("/api/auth/logout%3F", false, false),
    ] {
        for location in [path.to_owned(), format!("https://app.example{path}")] {
            assert_eq!(is_allowed(&location), allowed_for_upstream, "{location}");
            assert_eq!(policy.may_be_named(&location), allowed_for_client, "{location}");
        }
        // On another origin, the same paths are allowed.
        let elsewhere = format!("https://pay.example{path}");
        assert!(is_allowed(&elsewhere) && policy.may_be_named(&elsewhere), "{elsewhere}");
    }
}

#[test]
fn the_first_parameter_present_counts() {
    for (query, want) in [
        ("", "/home"),
        ("?next=%2Fa%3Fb%3D1%23c", "/a?b=1#c"),
        ("?callbackUrl=/c&redirect=/r&return_to=/t", "/t"),
        ("?return_to=/t&next=", "/home"),
        ("?next=//evil.example&return_to=/t", "/home"),
        ("?next=/a&next=//evil.example", "/a"),
        ("?returnTo=/a", "/a"),
        ("?return_path=/a", "/a"),
        ("?redirect_to=/a", "/a"),
        ("?redirectTo=/a", "/a"),
        ("?success_url=/a", "/a"),
        ("?success_url=/a&redirectTo=//evil.example", "/home"),
        ("?returnTo=//evil.example&success_url=/a", "/home"),
        ("?return_path=https://evil.example/&redirect_to=/a", "/home"),
        ("?ReturnTo=/a", "/home"),
    ] {
        let serialized = format!("GET\nhttps://app.example/login{query}");
        let request = Request::read(&serialized).expect("a request");
        assert_eq!(policy().asked_for(&request).as_str(), want, "{query}");
    }
}

#[test]
fn restricts_redirects_of_upstream() {
    for (location, want) in [
        ("/a?b#c", "/a?b#c"),
        ("/login?error=1", "/login?error=1"),
        ("/api/auth/logout", "/home"),
        ("https://app.example/x", "https://app.example/x"),
        ("https://pay.example/c/1?s=2", "https://pay.example/c/1?s=2"),
        ("https://pay.example", "https://pay.example/"),
        ("https://pay.example/a|b?c|d%#e|f#g", "https://pay.example/a%7Cb?c%7Cd%25#e%7Cf%23g"),
        ("https://pay.example.evil/", "/home"),
        ("https://pay.example@evil.example/", "/home"),
        ("https://user@pay.example/", "/home"),
        ("http://pay.example/", "/home"),
        ("https:pay.example", "https://pay.example/"),
        ("//pay.example/", "/home"),
        ("https:\\\\pay.example", "/home"),
        ("relative", "/home"),
        ("blob:https://app.example/x", "/home"),
        ("", "/home"),
    ] {
        assert_eq!(policy().hold(location).as_str(), want, "{location}");
    }
}

#[test]
fn rewrites_a_location_that_names_upstream() {
    let upstream = Origin::parse("http://127.0.0.1:8788").expect("an origin");
    for (location, want) in [
        ("http://127.0.0.1:8788/a?b#c", Some("https://app.example/a?b#c")),
        ("HTTP://127.0.0.1:8788/a", Some("https://app.example/a")),
        ("http://127.0.0.1:8788", Some("https://app.example/")),
        ("http://127.0.0.1:8788/a|?b%#c#d", Some("https://app.example/a%7C?b%25#c%23d")),
        ("//127.0.0.1:8788/a", Some("https://app.example/a")),
        ("http://127.0.0.1:87880/a", None),
        ("http://127.0.0.1:8788@evil.example/", None),
        ("https://127.0.0.1:8788/a", None),
        ("https://elsewhere.example/?u=http://127.0.0.1:8788/", None),
        ("/a", None),
        ("/a//b", None),
        ("a", None),
    ] {
        assert_eq!(publish(location, &upstream, "https://app.example").as_deref(), want, "{location}");
    }
}

/// Checks whether this is a URI reference that begins with a path or with a whole origin, by the grammar of RFC
/// 3986 appendix A.
fn is_uri_reference(text: &str) -> bool {
    let rest = ["https://app.example", "https://pay.example"]
        .iter()
        .find_map(|origin| text.strip_prefix(origin))
        .unwrap_or(text);
    let (before, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = before.split_once('?').unwrap_or((before, ""));
    let is_made_of = |part: &str, more: &str| {
        let mut characters = part.chars();
        while let Some(character) = characters.next() {
            let fits = match character {
                '%' => {
                    let is_hex = |digit: Option<char>| digit.is_some_and(|digit| digit.is_ascii_hexdigit());
                    is_hex(characters.next()) && is_hex(characters.next())
                }
                'a'..='z' | 'A'..='Z' | '0'..='9' => true,
                other => "-._~!$&'()*+,;=:@/".contains(other) || more.contains(other),
            };
            if !fits {
                return false;
            }
        }
        true
    };
    path.starts_with('/') && is_made_of(path, "") && is_made_of(query, "?") && is_made_of(fragment, "?")
}

proptest! {
    /// The short cut gives what the WHATWG URL rules would.
    #[test]
    fn leaves_a_plain_path_unchanged(candidate in "/[a-z/?=&._~-]{0,24}") {
        prop_assume!(is_plain(&candidate) && !candidate.starts_with("//"));
        let url = Url::parse(BASE).expect("a url").join(&candidate).expect("parses");
        prop_assert_eq!(uri_reference(&url[Position::BeforePath..]), candidate);
    }

    #[test]
    fn an_accepted_path_stays_on_the_site(candidate in "[/\\\\%a-f0-9.?#:@ \t\u{ff0f}]{0,24}") {
        if let Some(accepted) = policy().accept(&candidate) {
            let base = Url::parse("https://app.example/login").expect("a url");
            let url = base.join(accepted.as_str()).expect("parses");
            prop_assert_eq!(url.origin(), base.origin());
            prop_assert!(!accepted.as_str().starts_with("//"));
        }
    }

    #[test]
    fn writes_only_uri_references(
        path in "(/[a-z|\\[\\]^{}%\"<>` é\u{1f600}]{0,8}){1,3}",
        query in "(\\?.{0,16})?",
        fragment in "(#.{0,16})?",
    ) {
        let candidate = format!("{path}{query}{fragment}");
        let policy = Policy { home: path.clone(), ..policy() };
        prop_assert!(is_uri_reference(policy.home().as_str()), "home: {}", policy.home().as_str());
        if let Some(accepted) = policy.accept(&candidate) {
            prop_assert!(is_uri_reference(accepted.as_str()), "{candidate} became {}", accepted.as_str());
            // A written return path is accepted again, unchanged.
            prop_assert_eq!(policy.accept(accepted.as_str()), Some(accepted));
        }
        for location in [candidate.clone(), format!("https://pay.example{candidate}")] {
            let target = policy.hold(&location);
            prop_assert!(is_uri_reference(target.as_str()), "{location} became {}", target.as_str());
        }
        let upstream = Origin::parse("http://127.0.0.1:8788").expect("an origin");
        let location = format!("http://127.0.0.1:8788{candidate}");
        if let Some(published) = publish(&location, &upstream, "https://app.example") {
            prop_assert!(is_uri_reference(&published), "{location} became {published}");
        }
    }

    #[test]
    fn escaping_twice_changes_nothing(text in any::<String>()) {
        let once = uri_reference(&text);
        prop_assert_eq!(uri_reference(&once), once);
    }
}
