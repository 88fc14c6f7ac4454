//! A name for the device of a session, and its approximate place, so that users recognize their sessions.
//!
//! Both are for people, and nothing decides by them: a client can send any `User-Agent`. The name consists of words of
//! this file only. The place is the platform's guess from the client's address.

/// Returns a name such as `Firefox on Windows`. `None` if neither the browser nor the system is known.
#[must_use]
pub fn name(user_agent: &str) -> Option<String> {
    let find = |table: &[(&str, &'static str)]| {
        table.iter().find(|(token, _)| user_agent.contains(token)).map(|(_, name)| *name)
    };
    match (find(BROWSERS), find(SYSTEMS)) {
        (Some(browser), Some(system)) => Some(format!("{browser} on {system}")),
        (browser, system) => browser.or(system).map(str::to_owned),
    }
}

/// Returns the text by which the device of a sign-in is recognized: its name and its country.
#[must_use]
pub fn recognized_by(user_agent: &str, country: Option<&str>) -> String {
    let name = name(user_agent);
    format!("{}, {}", name.as_deref().unwrap_or("unknown"), country.unwrap_or("unknown"))
}

/// Returns a text such as `Berlin, DE`, from a city and an ISO 3166-1 country code. `None` if neither is known.
#[must_use]
pub fn place(city: Option<&str>, country: Option<&str>) -> Option<String> {
    let is_code =
        |country: &&str| country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
    // The platform's code for an unknown country.
    let country = country.filter(is_code).filter(|country| *country != "XX");
    let city = city.filter(|city| !city.is_empty() && !city.chars().any(char::is_control));
    let city = city.map(|city| city.chars().take(LONGEST_CITY).collect::<String>());
    match (city, country) {
        (Some(city), Some(country)) => Some(format!("{city}, {country}")),
        (city, country) => city.or_else(|| country.map(str::to_owned)),
    }
}

/// Maximum length of a city's name, in characters.
const LONGEST_CITY: usize = 80;

/// Tokens of browsers and programs. The first match counts: most browsers also name those that they are built on.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("YaBrowser/", "Yandex Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Chromium/", "Chrome"),
    ("Safari/", "Safari"),
    ("Trident/", "Internet Explorer"),
    ("MSIE ", "Internet Explorer"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python-requests/", "Python"),
    ("Python-urllib/", "Python"),
    ("Go-http-client/", "Go"),
    ("okhttp/", "OkHttp"),
    ("node", "Node.js"),
];

/// Tokens of systems. The first match counts: Android names Linux, and an iPhone names macOS.
const SYSTEMS: &[(&str, &str)] = &[
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_common_browsers_and_systems() {
        for (user_agent, want) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/120.0.0.0",
                "Opera on Windows",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36",
                "Samsung Internet on Android",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/138.0.7204.33 Mobile/15E148 Safari/604.1",
                "Chrome on iPhone",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/140.0 Mobile/15E148 Safari/605.1.15",
                "Firefox on iPad",
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
                "Chrome on ChromeOS",
            ),
            ("curl/8.14.1", "curl"),
            ("Something/1.0 (Windows)", "Windows"),
        ] {
            assert_eq!(name(user_agent).as_deref(), Some(want), "{user_agent}");
        }
        for unknown in ["", "Mozilla/5.0", "\u{202e}x", "<script>"] {
            assert_eq!(name(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn names_a_place_as_far_as_it_is_known() {
        for (city, country, want) in [
            (Some("Berlin"), Some("DE"), Some("Berlin, DE")),
            (Some("São Paulo"), None, Some("São Paulo")),
            (None, Some("DE"), Some("DE")),
            (None, Some("XX"), None),
            (None, Some("T1"), None),
            (None, Some("Germany"), None),
            (Some(""), None, None),
            (Some("a\nb"), Some("DE"), Some("DE")),
            (None, None, None),
        ] {
            assert_eq!(place(city, country).as_deref(), want, "{city:?} {country:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_has_only_words_of_the_tables(user_agent in ".*") {
            let words: Vec<&str> = BROWSERS.iter().chain(SYSTEMS).map(|(_, word)| *word).collect();
            let found = name(&user_agent);
            let parts = found.iter().flat_map(|name| name.split(" on "));
            prop_assert!(parts.into_iter().all(|part| words.contains(&part)));
        }
    }
}
