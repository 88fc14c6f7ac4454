use proptest::prelude::*;

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";
const PARTS: &str = "multipart/form-data; boundary=xyz";

fn typed(content_type: &str) -> Headers<'_> {
    [("content-type", content_type)].into_iter().collect()
}

#[track_caller]
fn check(content_type: &str, body: &str, want: Option<&[&str]>) {
    let found = values(&typed(content_type), body.as_bytes(), "returnTo");
    let want = want.map(|all| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    assert_eq!(found, want, "{content_type}: {body}");
}

#[test]
fn reads_forms_and_json_objects() {
    check("", "", Some(&[]));
    check(FORM, "a=1&returnTo=%2Fa&returnTo=//evil", Some(&["/a", "//evil"]));
    check("Application/X-WWW-Form-Urlencoded;charset=UTF-8", "return%54o=%2f%2fevil", Some(&["//evil"]));
    check(FORM, "returnto=//evil", Some(&["//evil"]));
    check(FORM, "a=1;returnTo=//evil", Some(&["//evil"]));
    check(FORM, "returnTo=/a;b=1", Some(&["/a;b=1", "/a"]));
    check("application/json", r#"{"ReturnTo":"//evil"}"#, Some(&["//evil"]));
    check("application/json", r#"{"returnTo[]":["//evil"]}"#, None);
    check("application/json", r#"{"returnTo":"/a","b":{"returnTo":"//no"}}"#, Some(&["/a"]));
    check("application/json", r#"{"returnTo":"/a","return\u0054o":"//evil"}"#, Some(&["/a", "//evil"]));
    check("application/ld+json", r#"{"returnTo":null}"#, Some(&[]));
    for body in [r#"{"returnTo":["//evil"]}"#, r#"{"returnTo":1}"#, "{", "[]", "null", "{} {}"] {
        check("application/json", body, None);
    }
    check("text/plain", "returnTo=//evil", None);
    check("", "returnTo=//evil", None);
}

#[test]
fn matches_names_that_some_server_treats_as_equal() {
    for found in [
        "returnTo",
        "RETURNTO",
        "returnTo[]",
        "returnTo[0]",
        "returnto[a][b]",
        "returnTo[",
        " returnTo",
        "\treturnTo",
        "returnTo\0x",
    ] {
        assert!(is_named(found, "returnTo"), "{found:?}");
    }
    for found in ["return_to", "returnTo2", "xreturnTo", "", "[", "[returnTo]", "returnTo.x", "returnT"] {
        assert!(!is_named(found, "returnTo"), "{found:?}");
    }
    for found in ["return.to", "return to", "return[to", "Return_To", "return_to[]"] {
        assert!(is_named(found, "return_to"), "{found:?}");
    }
    for found in ["session[to]", "session.to", "session[TO][]", "session[to][0]"] {
        assert!(is_named(found, "session[to]"), "{found:?}");
    }
    assert!(!is_named("session", "session[to]"));
}

#[test]
fn rejects_encoded_bodies_and_other_charsets() {
    let form = "a=1";
    for content_type in [
        "application/x-www-form-urlencoded; charset=ibm037",
        "application/x-www-form-urlencoded; Charset=\"utf-16\"",
        "application/x-www-form-urlencoded; charset*=utf-8''utf-7",
        "application/x-www-form-urlencoded; charset",
        "application/x-www-form-urlencoded, application/json",
        "application/json; a=b, application/x-www-form-urlencoded",
    ] {
        check(content_type, form, None);
    }
    check("application/x-www-form-urlencoded; charset=UTF-8", form, Some(&[]));
    for (encoding, want) in
        [("gzip", None), ("br, identity", None), ("Identity", Some(Vec::new())), ("", Some(Vec::new()))]
    {
        let headers: Headers<'_> =
            [("content-type", FORM), ("content-encoding", encoding)].into_iter().collect();
        assert_eq!(values(&headers, form.as_bytes(), "returnTo"), want, "{encoding}");
    }
}

#[test]
fn reads_multipart_strictly() {
    let part = |head: &str, value: &str| format!("--xyz\r\n{head}\r\n\r\n{value}\r\n");
    let of = |parts: &[String]| format!("{}--xyz--\r\n", parts.concat());
    let disposition = "Content-Disposition: form-data; name=\"returnTo\"";
    check(PARTS, &of(&[part(disposition, "/a"), part(disposition, "//evil")]), Some(&["/a", "//evil"]));
    let file =
        "content-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain";
    check(PARTS, &of(&[part(file, "x"), part(disposition, "/a")]), Some(&["/a"]));
    for head in [
        "Content-Disposition: form-data; name=returnTo",
        "Content-Disposition: form-data; filename=\"x\"; name=\"returnTo\"",
        "Content-Disposition: form-data; name=\"other\"; name=\"returnTo\"",
        "Content-Disposition: form-data; name=\"other\"; name*=utf-8''returnTo",
        "Content-Disposition: form-data; name=\"oth\\\"er\"",
        "Content-Disposition: form-data;\r\n name=\"returnTo\"",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"returnTo\"",
        "X: y",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: quoted-printable",
        "content-transfer-encoding: base64\r\nContent-Disposition: form-data; name=\"a\"",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=utf-7",
        "Content-Disposition: form-data; name=\"a\"\nX: y",
    ] {
        check(PARTS, &of(&[part(head, "//evil")]), None);
    }
    for body in ["", "--xyz", "--xyz\r\n", "x", "--xyz\n\n--xyz--", "preamble\r\n--xyz--"] {
        assert_ne!(
            values(&typed(PARTS), format!("{body} ").as_bytes(), "returnTo"),
            Some(Vec::new()),
            "{body:?}"
        );
    }
    check("multipart/form-data", &of(&[part(disposition, "/a")]), None);
    check("multipart/form-data; boundary=a; boundary=xyz", &of(&[part(disposition, "/a")]), None);
}

proptest! {
    #[test]
    fn reading_is_total(
        kind in 0_usize..3,
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let kind = [FORM, PARTS, "application/json"][kind];
        let _ = values(&typed(kind), &body, "returnTo");
    }
}
