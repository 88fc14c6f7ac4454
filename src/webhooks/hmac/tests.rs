use super::*;
use crate::{
    base::encoding::hex,
    webhooks::{
        Delivery, EventType, Scheme,
        signature::sign,
        tests::{NOW, base64, verify_now},
    },
};

#[test]
fn reports_every_mistake() {
    let good = Settings { header: "X-Sig", signed: "{body}", ..Settings::default() };
    for (settings, want) in [
        (good, &[][..]),
        (Settings { header: "X Sig", ..good }, &["header"]),
        (Settings { header: "", signed: "", ..good }, &["header", "signed"]),
        (Settings { signed: "{body", ..good }, &["signed"]),
        (Settings { signed: "{body}{url}", ..good }, &["signed"]),
        (Settings { signed: "{timestamp}.{id}.{body}", ..good }, &["timestamp_header", "id_header"]),
        (Settings { timestamp_header: Some("X-T"), id_header: Some("X-Id"), ..good }, &["signed", "signed"]),
        (Settings { event_id: Some("id"), event_type: Some(""), ..good }, &["event_id", "event_type"]),
        (
            Settings {
                signed: "{id}{timestamp}{body}",
                timestamp_header: Some("x-t"),
                timestamp_prefix: Some(""),
                id_header: Some("x-id"),
                event_id: Some("/id"),
                ..good
            },
            &["timestamp_prefix", "timestamp_prefix", "event_id"],
        ),
    ] {
        let found = Policy::new(&settings).err().unwrap_or_default();
        assert_eq!(found.iter().map(|error| error.member).collect::<Vec<_>>(), want, "{settings:?}");
    }
}

#[test]
fn reads_id_and_timestamp_from_their_own_headers() {
    let settings = Settings {
        header: "X-Sig",
        prefix: "sha256=",
        signed: "v0:{id}:{timestamp}:{body}",
        timestamp_header: Some("X-Time"),
        id_header: Some("X-Id"),
        event_type: Some("/kind"),
        ..Settings::default()
    };
    let body = r#"{"kind":"a.b","id":"not this"}"#;
    for (time, want) in [
        (NOW.to_string(), Ok(())),
        (format!("{NOW}999"), Ok(())),
        ("2023-11-14T22:13:20Z".to_owned(), Ok(())),
        ("2023-11-14T22:13:20.123Z".to_owned(), Ok(())),
        ("2023-11-14T22:03:20Z".to_owned(), Err(InvalidSignature::TooOld)),
        ("2023-11-14 22:13".to_owned(), Err(InvalidSignature::Malformed)),
    ] {
        let tag = format!("sha256={}", hex(&sign("s", format!("v0:e-1:{time}:{body}").as_bytes())));
        let found = deliver(&settings, &[("x-sig", &tag), ("x-time", &time), ("x-id", "e-1")], body);
        assert_eq!(found.as_ref().map(|_| ()).map_err(|error| *error), want, "{time}");
        let Ok(found) = found else { continue };
        assert_eq!(found.event_id.as_deref(), Some("e-1"));
        assert_eq!(found.event_type.as_ref().map(EventType::as_str), Some("a.b"));
        let other = deliver(&settings, &[("x-sig", &tag), ("x-time", &time), ("x-id", "e-2")], body);
        assert_eq!(other, Err(InvalidSignature::Mismatch));
    }
}

#[test]
fn reads_timestamp_and_signatures_from_one_header() {
    let settings = Settings {
        header: "X-Sig",
        prefix: "v1=",
        encoding: Encoding::Base64,
        signed: "{timestamp}.{body}",
        timestamp_prefix: Some("t="),
        event_id: Some("/event/id"),
        ..Settings::default()
    };
    let body = r#"{"event":{"id":7}}"#;
    let tag = base64(&sign("s", format!("{NOW}.{body}").as_bytes()));
    for (list, want) in [
        (format!("t={NOW}, v1=AAAA,v1={tag}"), Ok(Some("7"))),
        (format!("t={NOW},v0={tag}"), Err(InvalidSignature::Malformed)),
        (format!("t={NOW},t={NOW},v1={tag}"), Err(InvalidSignature::Malformed)),
        (format!("v1={tag}"), Err(InvalidSignature::Malformed)),
    ] {
        let found = deliver(&settings, &[("x-sig", &list)], body).map(|found| found.event_id);
        assert_eq!(found, want.map(|id| id.map(str::to_owned)), "{list}");
    }
}

fn deliver(
    settings: &Settings<'_>,
    fields: &[(&str, &str)],
    body: &str,
) -> Result<Delivery, InvalidSignature> {
    let policy = Policy::new(settings).expect("a policy");
    verify_now(Scheme::Hmac(policy), &["s"], fields, body)
}
