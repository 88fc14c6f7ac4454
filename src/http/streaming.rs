//! Content types of bodies that are sent piece by piece, for as long as the client listens.

/// Checks whether a `Content-Type` is one of a stream: its body may never end.
#[must_use]
pub fn is_stream(content_type: &str) -> bool {
    let essence = content_type.split([';', ',', ' ', '\t']).next().unwrap_or_default();
    STREAMS.iter().any(|stream| essence.eq_ignore_ascii_case(stream))
}

const STREAMS: [&str; 5] = [
    "text/event-stream",
    "application/x-ndjson",
    "application/stream+json",
    "application/json-seq",
    "multipart/x-mixed-replace",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_streams_by_their_content_type() {
        for (content_type, want) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("text/event-stream ;x", true),
            ("multipart/x-mixed-replace; boundary=a", true),
            ("application/json", false),
            ("text/event-streams", false),
            ("", false),
        ] {
            assert_eq!(is_stream(content_type), want, "{content_type}");
        }
    }
}
