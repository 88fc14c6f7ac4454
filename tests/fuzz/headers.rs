//! Headers: whatever a client sends, upstream gets no header that only the gateway may set.
//!
//! Names and values in lines, by turns.

use vestibule::http::{
    header_filter::{ForwardedRequest, is_gateway_header, is_reserved},
    request::Request,
};

pub(crate) fn run(data: &[u8]) {
    let fields = String::from_utf8_lossy(data);
    let serialized = format!("GET\nhttps://app.example.com/a?b\n{fields}");
    let Some(request) = Request::read(&serialized) else { return };
    let forwarded = ForwardedRequest::of(&request);
    let kept: Vec<_> = forwarded.headers().collect();
    assert_eq!(kept.len() + forwarded.removed_count(), request.headers.iter().count());
    assert_eq!(forwarded.removed().count(), forwarded.removed_count());
    for (name, _) in &kept {
        let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let letters = letters.to_ascii_lowercase();
        let is_ours = ["xuser", "xvestibule", "xwebhook"].iter().any(|prefix| letters.starts_with(prefix));
        let known = ["xuserid", "xuserrole", "xusername", "xuseremail"].contains(&letters.as_str());
        assert!(!is_ours || (letters.starts_with("xuser") && !known), "{name:?} is forwarded");
        assert!(!is_reserved(name) && !is_gateway_header(name));
    }
    let text: Vec<String> = kept.iter().map(|(name, value)| format!("{name}\n{value}")).collect();
    let serialized = format!("GET\nhttps://app.example.com/a?b\n{}", text.join("\n"));
    let again = Request::read(&serialized).unwrap();
    let again = ForwardedRequest::of(&again);
    // A header that `connection` nominates is removed in the first pass, so nothing is left for a second one.
    assert_eq!(again.headers().collect::<Vec<_>>(), kept, "filtering is idempotent");
}
