//! The parts of the core that run on every request, beside crates that do the same work.
//!
//! `cargo bench` in this folder. Compare within one run: the machine is noisy, ratios are not.

use std::{hint::black_box, time::Duration};

use divan::Bencher;
use vestibule::{base::time::Timestamp, crypto::{jwt::{claims::{self, Expected}, Keys}, secret::Secret}, http::{cookie, header_filter::ForwardedRequest, origin::Origin, path::CanonicalPath, request::Request}, redirects::return_path, routing::rule::{Access, Destination, Rule, Table}};

const SECRET: &[u8; 32] = b"kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA";
const NOW: i64 = 1_700_000_000;

fn main() {
    divan::main();
}

/// A token of 232 bytes or so, without `kid`, as an application issues it.
fn token() -> String {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Claims {
        user_id: &'static str,
        session_id: &'static str,
        iat: i64,
        exp: i64,
    }
    let claims = Claims {
        user_id: "usr_5f0a2c9e7b3d4e1f8a6c",
        session_id: "ses_9b1c7e3a5d2f4b8e6a0c1d3f",
        iat: 1_690_000_000,
        exp: 4_000_000_000,
    };
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("signed")
}

mod verify {
    use super::*;

    #[divan::bench]
    fn vestibule(bencher: Bencher<'_, '_>) {
        let keys = Keys::new(&Secret::from_bytes(SECRET.to_vec()).expect("a secret"), None).expect("one key");
        let expected = Expected {
            user_claim: "userId".into(),
            session_claim: "sessionId".into(),
            issuer: None,
            audience: None,
            leeway: Duration::ZERO,
        };
        let token = token();
        bencher.bench_local(|| {
            let verified = keys.verify(black_box(&token)).expect("signed");
            claims::validate(&verified, &expected, Timestamp(NOW)).expect("alive")
        });
    }

    #[divan::bench]
    fn jsonwebtoken(bencher: Bencher<'_, '_>) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[expect(dead_code, reason = "decoded, as an application would")]
        struct Claims {
            user_id: String,
            session_id: String,
            iat: i64,
            exp: i64,
        }
        let key = jsonwebtoken::DecodingKey::from_secret(SECRET);
        let validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        let token = token();
        bencher.bench_local(|| {
            jsonwebtoken::decode::<Claims>(black_box(&token), &key, &validation).expect("valid")
        });
    }

    #[divan::bench]
    fn jwt_simple(bencher: Bencher<'_, '_>) {
        use jwt_simple::prelude::*;
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Custom {
            user_id: String,
            session_id: String,
        }
        let key = HS256Key::from_bytes(SECRET);
        let token = token();
        bencher.bench_local(|| key.verify_token::<Custom>(black_box(&token), None).expect("valid"));
    }
}

mod cookies {
    use super::*;

    const HEADER: &str = "_ga=GA1.2.1234567890.1700000000; theme=dark; mk_session=eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJ1c3JfNWYwYTJjOWU3YjNkNGUxZjhhNmMiLCJzZXNzaW9uSWQiOiJzZXNfOWIxYzdlM2E1ZDJmNGI4ZTZhMGMxZDNmIiwiaWF0IjoxNjkwMDAwMDAwLCJleHAiOjQwMDAwMDAwMDB9.c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmE";

    #[divan::bench]
    fn vestibule() -> usize {
        cookie::values(black_box(HEADER), "mk_session").map(str::len).sum()
    }

    #[divan::bench]
    fn cookie_crate() -> usize {
        ::cookie::Cookie::split_parse(black_box(HEADER))
            .flatten()
            .filter(|found| found.name() == "mk_session")
            .map(|found| found.value().len())
            .sum()
    }
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn matching(bencher: Bencher<'_, '_>, rules: usize) {
    let rule = |path: &str| Rule::new(path, Access::User, Destination::Upstream);
    let mut table = Table::new(rule("(no rule)"));
    for index in 0..rules {
        let path = match index % 3 {
            0 => format!("/api/v1/resource{index}/{{id}}/items"),
            1 => format!("/api/v1/resource{index}/{{*rest}}"),
            _ => format!("/pages/page{index}"),
        };
        table.add(rule(&path)).expect("no tie");
    }
    // Paths all over the table, asked for one after the other.
    let paths: Vec<String> = (0..64)
        .map(|step| step * rules / 64)
        .map(|index| match index % 3 {
            0 => format!("/api/v1/resource{index}/42/items"),
            1 => format!("/api/v1/resource{index}/a/b/c"),
            _ => format!("/pages/page{index}"),
        })
        .collect();
    let paths: Vec<CanonicalPath<'_>> =
        paths.iter().map(|path| CanonicalPath::parse(path).expect("canonical")).collect();
    bencher.counter(divan::counter::ItemsCount::new(paths.len())).bench_local(|| {
        paths.iter().map(|path| table.find("GET", black_box(path)).path.len()).sum::<usize>()
    });
}

#[divan::bench]
fn return_path(bencher: Bencher<'_, '_>) {
    let policy = return_path::Policy {
        login: "/login".into(),
        home: "/".into(),
        endpoints: vec![return_path::LaxPattern::of("/api/auth/me")],
        sign_ins: Vec::new(),
        public: vec![Origin::parse("https://app.example").expect("an origin")],
        elsewhere: Vec::new(),
    };
    bencher.bench_local(|| policy.accept(black_box("/projects/7/board?view=week&sort=-due#card-12")));
}

const ACCOUNT: &str = "GET\nhttps://app.example/api/orders/7?full=1\naccept\ntext/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\naccept-encoding\ngzip, deflate, br, zstd\naccept-language\nen-GB,en;q=0.9\ncf-connecting-ip\n203.0.113.7\ncookie\n_ga=GA1.2.3.4; theme=dark; mk_session=x\nhost\napp.example\nreferer\nhttps://app.example/orders\nsec-ch-ua\n\"Chromium\";v=\"156\"\nsec-ch-ua-mobile\n?0\nsec-ch-ua-platform\n\"Linux\"\nsec-fetch-dest\ndocument\nsec-fetch-mode\nnavigate\nsec-fetch-site\nsame-origin\nsec-fetch-user\n?1\nupgrade-insecure-requests\n1\nuser-agent\nMozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\nx-forwarded-for\n203.0.113.7\nx-requested-with\nfetch";

#[divan::bench]
fn reading_a_request() -> bool {
    Request::read(black_box(ACCOUNT)).is_some()
}

#[divan::bench]
fn stripping_headers(bencher: Bencher<'_, '_>) {
    let request = Request::read(ACCOUNT).expect("a request");
    bencher.bench_local(|| ForwardedRequest::of(black_box(&request)).removed().count());
}
