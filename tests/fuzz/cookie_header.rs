//! `Cookie` headers: what is read from them, and what is removed before they go to upstream.

use vestibule::http::cookie;

const NAME: &str = "session";

pub(crate) fn run(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    let pairs: Vec<_> = cookie::pairs(&header).collect();
    let kept: Vec<_> = pairs.iter().copied().filter(|(name, _)| *name != NAME).collect();
    let removed = cookie::without(&header, |name| name == NAME).unwrap_or_default();
    assert_eq!(cookie::pairs(&removed).collect::<Vec<_>>(), kept, "the others stay, in order");
    assert_eq!(cookie::values(&removed, NAME).count(), 0);
    let again = cookie::without(&removed, |name| name == NAME).unwrap_or_default();
    assert_eq!(again, removed, "removing is idempotent");
    for (name, value) in pairs {
        assert!(!name.is_empty() && !name.contains([';', '=']) && !value.contains(';'));
        assert_eq!(cookie::name_set_by(&format!("{name}={value}; Path=/")), name);
        if let Some(name) = cookie::CookieName::parse(name) {
            assert_eq!(cookie::pairs(&format!("{}={value}", name.as_str())).next(), Some((name.as_str(), value)));
        }
    }
}
