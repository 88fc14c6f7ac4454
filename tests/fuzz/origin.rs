//! Origins: an accepted one is the text that a browser sends.

use url::Url;
use vestibule::http::origin::{Origin, is_localhost};

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = is_localhost(&text);
    let Ok(origin) = Origin::parse(&text) else { return };
    assert_eq!(origin.as_str(), text);
    assert_eq!(text, text.to_ascii_lowercase());
    assert_eq!(format!("{}://{}", origin.scheme(), origin.authority()), text);
    assert_eq!(Url::parse(&text).unwrap().origin().ascii_serialization(), text);
}
