//! Tests of every mistake: it is reported under the name of its setting.

use serde_json::json;

use super::expect_mistake;

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn reports_each_mistake_by_name() {
    for (changes, wanted) in [
        (
            json!({"PUBLIC_ORIGINS": null}),
            "PUBLIC_ORIGINS: expected a list of at least one origin, found nothing",
        ),
        (json!({"PUBLIC_ORIGINS": []}), "PUBLIC_ORIGINS: expected"),
        (
            json!({"PUBLIC_ORIGINS": ""}),
            "PUBLIC_ORIGINS: expected a list of at least one origin, found an empty string",
        ),
        (
            json!({"PUBLIC_ORIGINS": "https://app.example, https://b.example/"}),
            "PUBLIC_ORIGINS[1]: expected the canonical form \"https://b.example\"",
        ),
        (json!({"MODE": "log"}), "MODE: expected one of \"enforce\", \"report\", found \"log\""),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "mode": true}]}),
            "ROUTES[0].mode: expected \"enforce\" or \"report\", found",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "report": ["policy"]}]}),
            "ROUTES[0].report[0]: requires policy",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "report": ["limit"]}]}),
            "ROUTES[0].report[0]: expected a guard of the rule: for a limit, set mode",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "report": ["hooks", "access"]}]}),
            "ROUTES[0].report[1]: expected one of \"return_field\", \"bot_check\"",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "mode": "report", "report": "hooks"}]}),
            "ROUTES[0].report: not allowed with mode = \"report\"",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "a", "limit": 1, "period": "1m", "by": "address", "mode": "off"}]}),
            "RATE_LIMITS[0].mode: expected one of \"enforce\", \"report\", found \"off\"",
        ),
        (json!({"ALLOWED_ORIGINS": "https://a.example,"}), "ALLOWED_ORIGINS[1]: expected"),
        (json!({"ALLOWED_ORIGINS": "https://a.example;https://b.example"}), "ALLOWED_ORIGINS[0]: expected"),
        (json!({"ALLOWED_ORIGINS": " "}), "ALLOWED_ORIGINS: expected a list of origins"),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": ""}]}),
            "ROUTES[0].methods: expected a list of methods, found an empty string",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": "GET, post"}]}),
            "ROUTES[0].methods[1]: expected a method",
        ),
        (
            json!({"USER_HEADERS": ["name", "phone"], "SESSION": {"login": "accounts"}}),
            "USER_HEADERS[1]: expected \"name\" or \"email\", found \"phone\"",
        ),
        (
            json!({"USER_HEADERS": "name", "SESSION": {"login": "upstream"}}),
            "USER_HEADERS: requires SESSION.login = \"accounts\"",
        ),
        (
            json!({"TOKEN_MAKERS": "nobody", "SESSION": {"login": "accounts"}}),
            "TOKEN_MAKERS: expected one of \"users\", \"admins\"",
        ),
        (
            json!({"TOKEN_MAKERS": "admins", "SESSION": {"login": "upstream"}}),
            "TOKEN_MAKERS: requires SESSION.login = \"accounts\"",
        ),
        (
            json!({"TOKEN_MAX_EXPIRY": "90d", "SESSION": {"login": "upstream"}}),
            "TOKEN_MAX_EXPIRY: requires SESSION.login = \"accounts\"",
        ),
        (
            json!({"TOKEN_MAX_EXPIRY": "never", "SESSION": {"login": "accounts"}}),
            "TOKEN_MAX_EXPIRY: expected a duration like",
        ),
        (
            json!({"TOKEN_MAX_EXPIRY": "59s", "SESSION": {"login": "accounts"}}),
            "TOKEN_MAX_EXPIRY: expected a duration from 1m to 3650d",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "mat_", "kind": "user", "source": "t", "machine": true, "delegate": true}], "SESSION": {"login": "accounts"}}),
            "CREDENTIALS[0].delegate: expected false: only a person's token",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "mk_", "kind": "agent", "source": "t", "machine": true, "delegate": true}], "SESSION": {"login": "accounts"}}),
            "CREDENTIALS[0].delegate: expected false: only a person's token",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "invocation_id": "run"}]}),
            "ROUTES[0].invocation_id: expected a JSON pointer",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "invocation_id": 1}]}),
            "ROUTES[0].invocation_id: expected true or false, found a number",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "return_field": ""}]}),
            "ROUTES[0].return_field: expected the name of a field",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "return_field": "a b"}]}),
            "ROUTES[0].return_field: expected the name of a field",
        ),
        (
            json!({"PUBLIC_ORIGINS": ["https://app.example/"]}),
            "PUBLIC_ORIGINS[0]: expected the canonical form \"https://app.example\"",
        ),
        (
            json!({"PUBLIC_ORIGINS": ["https://app.example", 3]}),
            "PUBLIC_ORIGINS[1]: expected a string, found a number",
        ),
        (
            json!({"PUBLIC_ORIGINS": ["http://app.example"]}),
            "PUBLIC_ORIGINS: expected https origins in production",
        ),
        (json!({"UPSTREAM": null}), "UPSTREAM: expected an origin, a service binding"),
        (json!({"UPSTREAM": "https://origin.example/base"}), "UPSTREAM: expected the canonical form"),
        (json!({"UPSTREAM": "https://app.example"}), "UPSTREAM: expected the origin of the application"),
        (
            json!({"UPSTREAM": 1}),
            "UPSTREAM: expected the origin of the application, or a table, found a number",
        ),
        (json!({"UPSTREAM": {}}), "UPSTREAM: expected an origin, a service binding"),
        (json!({"UPSTREAM": {"origin": "x"}}), "UPSTREAM.origin: expected an origin like"),
        (
            json!({"UPSTREAM": {"origin": "https://app.example"}}),
            "UPSTREAM: expected the origin of the application",
        ),
        (
            json!({"UPSTREAM": {"origin": "https://origin.example", "host": "theirs"}}),
            "UPSTREAM.host: expected one of \"own\", \"public\", found \"theirs\"",
        ),
        (json!({"UPSTREAM": {"url": "https://origin.example"}}), "UPSTREAM.url: unknown"),
        (json!({"UPSTREAM_ALIASES": ["origin.example"]}), "UPSTREAM_ALIASES[0]: expected an origin like"),
        (
            json!({"ENVIRONMENT": "prod"}),
            "ENVIRONMENT: expected one of \"production\", \"development\", found \"prod\"",
        ),
        (json!({"PROBLEM_BASE": "docs/errors.md"}), "PROBLEM_BASE: expected an http or https URL"),
        (json!({"PROBLEM_BASE": "https://"}), "PROBLEM_BASE: expected an http or https URL"),
        (json!({"PROBLEM_BASE": "https:///a"}), "PROBLEM_BASE: expected an http or https URL"),
        (json!({"PROBLEM_BASE": "https://a.example/#x"}), "PROBLEM_BASE: expected an http or https URL"),
        (json!({"PROBLEM_BASE": "https://a.example/ x"}), "PROBLEM_BASE: expected an http or https URL"),
        (json!({"PROBLEM_BASE": "javascript:alert(1)"}), "PROBLEM_BASE: expected an http or https URL"),
        (json!({"PROBLEM_BASE": 1}), "PROBLEM_BASE: expected a URL, URN or \"about:blank\", found a number"),
        (
            json!({"ROUTES": [{"path": "/m", "access": "user", "unauthenticated": "302"}]}),
            "ROUTES[0].unauthenticated: expected one of \"redirect\", \"401\", found \"302\"",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "user", "unauthenticated": 401}]}),
            "ROUTES[0].unauthenticated: expected \"redirect\" or \"401\", found a number",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "public", "unauthenticated": "401"}]}),
            "ROUTES[0].unauthenticated: requires an access",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "user", "recent": "10s"}], "SESSION": {"login": "upstream"}}),
            "ROUTES[0].recent: expected a duration from 1m to 30d",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "user", "recent": "31d"}], "SESSION": {"login": "upstream"}}),
            "ROUTES[0].recent: expected a duration from 1m to 30d",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "optional", "recent": "10m"}], "SESSION": {"login": "upstream"}}),
            "ROUTES[0].recent: requires an access for users",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "agent", "recent": "10m"}], "SESSION": {"login": "accounts"}}),
            "ROUTES[0].recent: requires an access for users",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "user", "recent": "10m"}], "SESSION": {"check": "token"}}),
            "ROUTES[0].recent: requires SESSION.check = \"registry\"",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "user", "stream_check": "0s"}], "SESSION": {"login": "upstream"}}),
            "ROUTES[0].stream_check: expected a duration from 1s to 1h",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "user", "stream_check": "2h"}], "SESSION": {"login": "upstream"}}),
            "ROUTES[0].stream_check: expected a duration from 1s to 1h",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "public", "stream_check": "30s"}], "SESSION": {"login": "upstream"}}),
            "ROUTES[0].stream_check: requires an access other than \"public\"",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "user", "stream_check": "30s"}], "SESSION": {"check": "token"}}),
            "ROUTES[0].stream_check: requires SESSION.check = \"registry\"",
        ),
        (
            json!({"SESSION": {"login": "upstream", "cookie": "s", "cookie_previous": "s"}}),
            "SESSION.cookie_previous: expected a name other than SESSION.cookie",
        ),
        (
            json!({"SESSION": {"check": "token", "cookie": "__Host-s", "cookie_previous": "mk_session"}}),
            "SESSION.cookie_previous: requires login",
        ),
        (json!({"SESSION": {"max_lifetime": "4m"}}), "SESSION.max_lifetime: expected 5m or more"),
        (json!({"SESSION": {"idle": "1m"}}), "SESSION.idle: expected 5m or more"),
        (
            json!({"SESSION": {"idle": "8h", "max_lifetime": "8h"}}),
            "SESSION.idle: expected less than SESSION.max_lifetime",
        ),
        (
            json!({"SESSION": {"user_claim": "startedAt"}}),
            "SESSION.user_claim: expected a claim that contains",
        ),
        (
            json!({"SESSION": {"recent_admin": "5s"}}),
            "SESSION.recent_admin: expected a duration from 1m to 30d",
        ),
        (
            json!({"SESSION": {"check": "token", "recent_admin": "10m"}}),
            "SESSION.recent_admin: requires check = \"registry\"",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "optional", "unauthenticated": "redirect"}]}),
            "ROUTES[0].unauthenticated: requires an access",
        ),
        (json!({"CSRF": "off"}), "CSRF: expected one of \"standard\", \"strict\", found \"off\""),
        (json!({"DANGER_FIXED_NOW": 5}), "DANGER_FIXED_NOW: not allowed in production"),
        (
            json!({"DANGER_FIXED_NOW": "x", "ENVIRONMENT": "development"}),
            "DANGER_FIXED_NOW: expected Unix seconds",
        ),
        (json!({"AUTH_SECRET": null}), "AUTH_SECRET: expected a secret"),
        (json!({"AUTH_SECRET": "short"}), "AUTH_SECRET: expected at least 32 bytes, found 5"),
        (json!({"AUTH_SECRET": ""}), "AUTH_SECRET: expected at least 32 bytes, found 0"),
        (json!({"AUTH_SECRET": "changeme-changeme-changeme-changeme"}), "AUTH_SECRET: expected random bytes"),
        (json!({"AUTH_SECRET": ["x"]}), "AUTH_SECRET: expected a secret, found a list"),
        (
            json!({"UPSTREAM_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA"}),
            "UPSTREAM_SECRET: expected a secret other than",
        ),
        (json!({"SESSION": []}), "SESSION: expected a table, found a list"),
        (
            json!({"SESSION": {"check": "cookie"}}),
            "SESSION.check: expected one of \"registry\", \"token\", found",
        ),
        (json!({"SESSION": {"check_ttl": "61s"}}), "SESSION.check_ttl: expected 60s or less"),
        (
            json!({"SESSION": {"check": "token", "check_ttl": "1s"}}),
            "SESSION.check_ttl: not allowed with check = \"token\"",
        ),
        (
            json!({"SESSION": {"login": "here"}}),
            "SESSION.login: expected one of \"accounts\", \"upstream\", found \"here\"",
        ),
        (
            json!({"SESSION": {"check": "token", "login": "accounts"}}),
            "SESSION.login: \"accounts\" requires check = \"registry\"",
        ),
        (
            json!({"SESSION": {"login": "accounts", "require_second_factor": "users"}}),
            "SESSION.require_second_factor: expected one of \"nobody\", \"admins\", \"everybody\", found \"users\"",
        ),
        (
            json!({"SESSION": {"login": "upstream", "require_second_factor": "admins"}}),
            "SESSION.require_second_factor: requires SESSION.login = \"accounts\"",
        ),
        (json!({"CREDENTIALS": "mul_"}), "CREDENTIALS: expected a list of credentials, found a string"),
        (json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user"}]}), "CREDENTIALS[0].machine: expected"),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user", "machine": "no"}]}),
            "CREDENTIALS[0].machine: expected true or false, found a string",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user", "machine": true}]}),
            "CREDENTIALS[0].source: source is required with machine = true",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user", "source": "x", "machine": false}]}),
            "CREDENTIALS[0].source: not allowed with machine = false",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "agent", "machine": false}]}),
            "CREDENTIALS[0].machine: expected true with kind = \"agent\"",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "A-", "kind": "user", "machine": false}]}),
            "CREDENTIALS[0].prefix: expected 2 to 16 of a-z",
        ),
        (
            json!({"CREDENTIALS": [
                {"prefix": "a_", "kind": "user", "machine": false},
                {"prefix": "a_b_", "kind": "user", "machine": false},
            ]}),
            "CREDENTIALS[1].prefix: expected a prefix that does not overlap with another credential's",
        ),
        (
            json!({"SESSION": {"login": "accounts"}, "MAILER": "https://mail.example/"}),
            "MAILER_SECRET: required with MAILER: it signs the messages",
        ),
        (
            json!({"SESSION": {"login": "accounts"}, "MAILER": "http://mail.example/"}),
            "MAILER: expected an https URL",
        ),
        (
            json!({"SESSION": {"login": "upstream"}, "MAILER": "https://mail.example/"}),
            "MAILER: requires SESSION.login",
        ),
        (json!({"MAILER_SECRET": "c2hvcnQ="}), "MAILER_SECRET: expected whsec_ and the base64"),
        (json!({"SETUP_TOKEN": "short"}), "SETUP_TOKEN: expected at least 32 bytes, found 5"),
        (
            json!({"SESSION": {"check": "token"}, "ROUTES": [{"path": "/a", "access": "admin"}]}),
            "ROUTES[0].access: \"admin\" requires SESSION.check = \"registry\"",
        ),
        (
            json!({"SESSION": {"check": "token", "cokie": "x"}}),
            "SESSION.cokie: unknown, did you mean \"cookie\"?",
        ),
        (
            json!({"SESSION": {"check": "token", "zzz": "x"}}),
            "SESSION.zzz: unknown, expected one of cookie, ",
        ),
        (json!({"SESSION": {"check": "token", "cookie": "a b"}}), "SESSION.cookie: expected a cookie name"),
        (
            json!({"SESSION": {"check": "token", "lifetime": "30 days"}}),
            "SESSION.lifetime: expected a duration",
        ),
        (
            json!({"SESSION": {"check": "token", "lifetime": 30}}),
            "SESSION.lifetime: expected a duration, found a number",
        ),
        (json!({"SESSION": {"check": "token", "lifetime": "0s"}}), "SESSION.lifetime: expected more than 0s"),
        (json!({"SESSION": {"check": "token", "lifetime": "1h"}}), "SESSION.refresh_after: expected less"),
        (json!({"SESSION": {"check": "token", "leeway": "61s"}}), "SESSION.leeway: expected 60s or less"),
        (json!({"SESSION": {"check": "token", "user_claim": "exp"}}), "SESSION.user_claim: expected"),
        (
            json!({"SESSION": {"check": "token", "user_claim": "sessionId"}}),
            "SESSION.session_claim: expected a claim other than",
        ),
        (json!({"SESSION": {"check": "token", "issuer": ""}}), "SESSION.issuer: expected a string"),
        (
            json!({"SESSION": {"check": "token", "domain": "other.example"}}),
            "SESSION.domain: expected a domain that includes",
        ),
        (
            json!({"SESSION": {"check": "token", "domain": ".example"}}),
            "SESSION.domain: expected a domain name",
        ),
        (
            json!({"SESSION": {"check": "token", "domain": "app.example", "cookie": "__Host-s"}}),
            "SESSION.domain: not allowed with a __Host- cookie",
        ),
        (
            json!({"SESSION": {"check": "token", "login_path": "login"}}),
            "SESSION.login_path: expected a path",
        ),
        (json!({"SESSION": {"check": "token", "login_path": "/a?b"}}), "SESSION.login_path: expected a path"),
        (json!({"SESSION": {"check": "token", "home_path": "//x"}}), "SESSION.home_path: expected a path"),
        (
            json!({"SESSION": {"check": "token", "forward": "no"}}),
            "SESSION.forward: expected true or false, found a string",
        ),
        (json!({"SESION": {}}), "SESION: unknown, did you mean \"SESSION\"?"),
        (json!({"ROUTE": []}), "ROUTE: unknown, did you mean \"ROUTES\"?"),
        (json!({"AUTH_SECERT": "x"}), "AUTH_SECERT: unknown, did you mean \"AUTH_SECRET\"?"),
        (json!({"ROUTE_ADMIN": []}), "ROUTE_ADMIN: unknown"),
        (json!({"ROUTESADMIN": []}), "ROUTESADMIN: unknown"),
        (json!({"Routes_2": []}), "Routes_2: unknown"),
        (json!({"routes": []}), "routes: unknown, did you mean \"ROUTES\"?"),
        (json!({"CSRF_MODE": "strict"}), "CSRF_MODE: unknown"),
        (json!({"AUTH_SECRET_PREV": "x"}), "AUTH_SECRET_PREV: unknown"),
        (
            json!({"SESSION": {"check": "token", "login_path": "/"}}),
            "SESSION.home_path: expected a path other than",
        ),
        (
            json!({"UPSTREAM": "https://user:hunter2@origin.example"}),
            "UPSTREAM: expected an origin without user name",
        ),
        (json!({"BOT_CHECK": {}}), "TURNSTILE_SECRET: required with BOT_CHECK"),
    ] {
        expect_mistake(&changes, wanted);
    }
}
