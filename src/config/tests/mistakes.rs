//! Tests of every mistake: it is reported under the name of its setting.

use serde_json::json;

use super::expect_mistake;

#[test]
#[expect(clippy::too_many_lines, clippy::large_stack_arrays, reason = "one table")]
fn reports_each_mistake_by_name() {
    for (changes, wanted) in [
        (
            json!({"PUBLIC_ORIGINS": null}),
            "PUBLIC_ORIGINS: expected list of origins, at least one, found nothing",
        ),
        (json!({"PUBLIC_ORIGINS": []}), "PUBLIC_ORIGINS: expected"),
        (
            json!({"PUBLIC_ORIGINS": ""}),
            "PUBLIC_ORIGINS: expected list of origins, at least one, found an empty text",
        ),
        (
            json!({"PUBLIC_ORIGINS": "https://app.example, https://b.example/"}),
            "PUBLIC_ORIGINS[1]: expected the canonical form \"https://b.example\"",
        ),
        (json!({"ALLOWED_ORIGINS": "https://a.example,"}), "ALLOWED_ORIGINS[1]: expected"),
        (json!({"ALLOWED_ORIGINS": "https://a.example;https://b.example"}), "ALLOWED_ORIGINS[0]: expected"),
        (json!({"ALLOWED_ORIGINS": " "}), "ALLOWED_ORIGINS: expected list of origins"),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": ""}]}),
            "ROUTES[0].methods: expected list of methods, found an empty text",
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
            "USER_HEADERS: expected SESSION.login = \"accounts\" beside it",
        ),
        (
            json!({"TOKEN_MAKERS": "nobody", "SESSION": {"login": "accounts"}}),
            "TOKEN_MAKERS: expected one of \"users\", \"admins\"",
        ),
        (
            json!({"TOKEN_MAKERS": "admins", "SESSION": {"login": "upstream"}}),
            "TOKEN_MAKERS: expected SESSION.login = \"accounts\" beside it",
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
            "ROUTES[0].return_field: expected name of a field",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "return_field": "a b"}]}),
            "ROUTES[0].return_field: expected name of a field",
        ),
        (
            json!({"PUBLIC_ORIGINS": ["https://app.example/"]}),
            "PUBLIC_ORIGINS[0]: expected the canonical form \"https://app.example\"",
        ),
        (
            json!({"PUBLIC_ORIGINS": ["https://app.example", 3]}),
            "PUBLIC_ORIGINS[1]: expected text, found a number",
        ),
        (
            json!({"PUBLIC_ORIGINS": ["http://app.example"]}),
            "PUBLIC_ORIGINS: expected https origins in production",
        ),
        (json!({"UPSTREAM": null}), "UPSTREAM: expected an origin, a service binding"),
        (json!({"UPSTREAM": "https://origin.example/base"}), "UPSTREAM: expected the canonical form"),
        (json!({"UPSTREAM": "https://app.example"}), "UPSTREAM: expected the application"),
        (json!({"UPSTREAM": 1}), "UPSTREAM: expected origin of the application, or a table, found a number"),
        (json!({"UPSTREAM": {}}), "UPSTREAM: expected an origin, a service binding"),
        (json!({"UPSTREAM": {"origin": "x"}}), "UPSTREAM.origin: expected an origin like"),
        (json!({"UPSTREAM": {"origin": "https://app.example"}}), "UPSTREAM: expected the application"),
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
        (json!({"PROBLEM_BASE": 1}), "PROBLEM_BASE: expected URL, URN or \"about:blank\", found a number"),
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
            "ROUTES[0].unauthenticated: expected beside an access",
        ),
        (
            json!({"ROUTES": [{"path": "/m", "access": "optional", "unauthenticated": "redirect"}]}),
            "ROUTES[0].unauthenticated: expected beside an access",
        ),
        (json!({"CSRF": "off"}), "CSRF: expected one of \"standard\", \"strict\", found \"off\""),
        (json!({"DANGER_FIXED_NOW": 5}), "DANGER_FIXED_NOW: expected nothing in production"),
        (
            json!({"DANGER_FIXED_NOW": "x", "ENVIRONMENT": "development"}),
            "DANGER_FIXED_NOW: expected Unix seconds",
        ),
        (json!({"AUTH_SECRET": null}), "AUTH_SECRET: expected a secret"),
        (json!({"AUTH_SECRET": "short"}), "AUTH_SECRET: expected at least 32 bytes, found 5"),
        (json!({"AUTH_SECRET": ""}), "AUTH_SECRET: expected at least 32 bytes, found 0"),
        (json!({"AUTH_SECRET": "changeme-changeme-changeme-changeme"}), "AUTH_SECRET: expected random bytes"),
        (json!({"AUTH_SECRET": ["x"]}), "AUTH_SECRET: expected secret, found a list"),
        (json!({"UPSTREAM_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA"}), "UPSTREAM_SECRET: expected another"),
        (json!({"SESSION": []}), "SESSION: expected table, found a list"),
        (
            json!({"SESSION": {"check": "cookie"}}),
            "SESSION.check: expected one of \"registry\", \"token\", found",
        ),
        (json!({"SESSION": {"check_ttl": "61s"}}), "SESSION.check_ttl: expected 60s or less"),
        (json!({"SESSION": {"check": "token", "check_ttl": "1s"}}), "SESSION.check_ttl: expected nothing"),
        (
            json!({"SESSION": {"login": "here"}}),
            "SESSION.login: expected one of \"accounts\", \"upstream\", found \"here\"",
        ),
        (
            json!({"SESSION": {"check": "token", "login": "accounts"}}),
            "SESSION.login: expected check = \"registry\"",
        ),
        (json!({"CREDENTIALS": "mul_"}), "CREDENTIALS: expected list of credentials, found a text"),
        (json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user"}]}), "CREDENTIALS[0].machine: expected"),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user", "machine": "no"}]}),
            "CREDENTIALS[0].machine: expected true or false, found a text",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user", "machine": true}]}),
            "CREDENTIALS[0].source: expected a name beside machine = true",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user", "source": "x", "machine": false}]}),
            "CREDENTIALS[0].source: expected nothing beside machine = false",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "agent", "machine": false}]}),
            "CREDENTIALS[0].machine: expected true beside kind = \"agent\"",
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
            "CREDENTIALS[1].prefix: expected no other credential's to begin like it",
        ),
        (json!({"SETUP_TOKEN": "short"}), "SETUP_TOKEN: expected at least 32 bytes, found 5"),
        (
            json!({"SESSION": {"check": "token"}, "ROUTES": [{"path": "/a", "access": "admin"}]}),
            "ROUTES[0].access: expected SESSION.check = \"registry\"",
        ),
        (
            json!({"SESSION": {"check": "token", "cokie": "x"}}),
            "SESSION.cokie: unknown, did you mean \"cookie\"?",
        ),
        (
            json!({"SESSION": {"check": "token", "zzz": "x"}}),
            "SESSION.zzz: unknown, expected one of cookie, ",
        ),
        (json!({"SESSION": {"check": "token", "cookie": "a b"}}), "SESSION.cookie: expected cookie name"),
        (
            json!({"SESSION": {"check": "token", "lifetime": "30 days"}}),
            "SESSION.lifetime: expected a duration",
        ),
        (
            json!({"SESSION": {"check": "token", "lifetime": 30}}),
            "SESSION.lifetime: expected duration, found a number",
        ),
        (json!({"SESSION": {"check": "token", "lifetime": "0s"}}), "SESSION.lifetime: expected more than 0s"),
        (json!({"SESSION": {"check": "token", "lifetime": "1h"}}), "SESSION.refresh_after: expected less"),
        (json!({"SESSION": {"check": "token", "leeway": "61s"}}), "SESSION.leeway: expected 60s or less"),
        (json!({"SESSION": {"check": "token", "user_claim": "exp"}}), "SESSION.user_claim: expected"),
        (
            json!({"SESSION": {"check": "token", "user_claim": "sessionId"}}),
            "SESSION.session_claim: expected another",
        ),
        (json!({"SESSION": {"check": "token", "issuer": ""}}), "SESSION.issuer: expected a text"),
        (
            json!({"SESSION": {"check": "token", "domain": "other.example"}}),
            "SESSION.domain: expected a domain that covers",
        ),
        (
            json!({"SESSION": {"check": "token", "domain": ".example"}}),
            "SESSION.domain: expected a domain name",
        ),
        (
            json!({"SESSION": {"check": "token", "domain": "app.example", "cookie": "__Host-s"}}),
            "SESSION.domain: expected nothing",
        ),
        (
            json!({"SESSION": {"check": "token", "login_path": "login"}}),
            "SESSION.login_path: expected a path",
        ),
        (json!({"SESSION": {"check": "token", "login_path": "/a?b"}}), "SESSION.login_path: expected a path"),
        (json!({"SESSION": {"check": "token", "home_path": "//x"}}), "SESSION.home_path: expected a path"),
        (
            json!({"SESSION": {"check": "token", "forward": "no"}}),
            "SESSION.forward: expected true or false, found a text",
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
            "SESSION.home_path: expected another path",
        ),
        (
            json!({"UPSTREAM": "https://user:hunter2@origin.example"}),
            "UPSTREAM: expected an origin without a user",
        ),
        (json!({"BOT_CHECK": {}}), "TURNSTILE_SECRET: expected a secret beside BOT_CHECK"),
        (json!({"TURNSTILE_SECRET": ""}), "TURNSTILE_SECRET: expected 1 to 256 visible ASCII characters"),
        (
            json!({"TURNSTILE_SECRET": "1x0000000000000000000000000000000AA"}),
            "TURNSTILE_SECRET: expected the secret of a widget of yours in production",
        ),
        (
            json!({"TURNSTILE_SECRET": "0x4AAA", "BOT_CHECK": {"verify_url": "http://a.example/"}}),
            "BOT_CHECK.verify_url: expected an https URL",
        ),
        (
            json!({"TURNSTILE_SECRET": "0x4AAA", "BOT_CHECK": {"hostnames": ["https://a.example"]}}),
            "BOT_CHECK.hostnames[0]: expected a host name",
        ),
        (
            json!({"TURNSTILE_SECRET": "0x4AAA", "BOT_CHECK": {"hostnames": []}}),
            "BOT_CHECK.hostnames: expected at least one",
        ),
        (
            json!({"TURNSTILE_SECRET": "0x4AAA", "BOT_CHECK": {"timeout": "1m"}}),
            "BOT_CHECK.timeout: expected from 1s to 10s",
        ),
        (json!({"POLICY_URL": "https://a:b@policy.example/"}), "POLICY_URL: expected an https URL"),
        (json!({"POLICY_URL": "policy"}), "POLICY_URL: expected an https URL"),
        (json!({"LOG_SAMPLE": 0}), "LOG_SAMPLE: expected a number from 1 to 1000000, found a number"),
        (json!({"LOG_SAMPLE": "often"}), "LOG_SAMPLE: expected a number from 1 to 1000000, found a text"),
        (json!({"AUDIT_RETENTION": "1h"}), "AUDIT_RETENTION: expected from 1d to 3650d"),
        (json!({"AUDIT_RETENTON": "1d"}), "AUDIT_RETENTON: unknown, did you mean \"AUDIT_RETENTION\"?"),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "bot_check": "signup"}]}),
            "ROUTES[0].bot_check: expected a secret TURNSTILE_SECRET beside it",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "bot_check": "sign up"}]}),
            "ROUTES[0].bot_check: expected action name",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "feature": "new"}]}),
            "ROUTES[0].feature: expected a KV namespace KV, found none",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "policy": "pay"}]}),
            "ROUTES[0].policy: expected POLICY_URL or a service binding POLICY, found neither",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "confirm": "human"}]}),
            "ROUTES[0].confirm: expected a binding CONFIRMATIONS to the class Confirmations, found none",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "confirm": "robot"}]}),
            "ROUTES[0].confirm: expected \"human\", found",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "human", "confirm": "human"}]}),
            "ROUTES[0].confirm: expected nothing: no machine comes in here",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "public", "confirm": "human"}]}),
            "ROUTES[0].confirm: expected an access that asks who it is",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "audit": "required"}]}),
            "ROUTES[0].audit: expected a binding AUDIT to the class Audit, found none",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "audit": true}]}),
            "ROUTES[0].audit: expected \"best_effort\" or \"required\", found true or false",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "catalogue": true, "methods": ["GET"]}]}),
            "ROUTES[0].operation: expected beside catalogue",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "catalogue": true, "operation": "a"}]}),
            "ROUTES[0].methods: expected beside catalogue",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "catalogue": "yes", "operation": "a", "methods": ["GET"]}]}),
            "ROUTES[0].catalogue: expected true, or a table, found a text",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "catalogue": {"schema": "ftp://a"}, "operation": "a", "methods": ["GET"]}]}),
            "ROUTES[0].catalogue.schema: expected URL or path",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "body_limit": 1}]}),
            "ROUTES[0].body_limit: expected beside idempotency, confirm, bot_check or return_field",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "a", "limit": 1, "period": "1m", "by": "address", "gate": "NONE"}]}),
            "RATE_LIMITS[0].gate: expected the name of a rate-limit binding",
        ),
        (json!({"ROUTES": {}}), "ROUTES: expected list of rules, found a table"),
        (json!({"ROUTES": [7]}), "ROUTES[0]: expected table, found a number"),
        (json!({"ROUTES": [{}]}), "ROUTES[0].path: expected path pattern, found nothing"),
        (json!({"ROUTES": [{"path": "/a"}]}), "ROUTES[0].access: expected \"public\""),
        (
            json!({"ROUTES_2": [{"path": "/a", "access": "admn"}]}),
            "ROUTES_2[0].access: expected one of \"public\", \"optional\", \"authenticated\", \"user\", \"human\", \"agent\", \"admin\", \"owner\", found \"admn\"",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "acess": 1}]}),
            "ROUTES[0].acess: unknown, did you mean \"access\"?",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "features": "required"}]}),
            "ROUTES[0].features: unknown",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": ["get"]}]}),
            "ROUTES[0].methods[0]: expected a method",
        ),
        (json!({"ROUTES": [{"path": "/a", "access": "user", "methods": ["FOO"]}]}), "can never match"),
        (
            json!({"ROUTES": [{"path": "/api/admin/:id", "access": "admin"}]}),
            "ROUTES[0].path: expected \"{id}\" instead of \":id\"",
        ),
        (
            json!({"ROUTES": [{"path": "/api/(.*)", "access": "user"}]}),
            "ROUTES[0].path: expected \"{*rest}\" as the last segment instead of \"(.*)\"",
        ),
        (
            json!({"SESSION": {"check": "token", "login_path": "/:lang/login"}}),
            "SESSION.login_path: expected a path",
        ),
        (json!({"SESSION": {"check": "token", "home_path": "/a//b"}}), "SESSION.home_path: expected a path"),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": []}]}),
            "ROUTES[0].methods: expected at least one",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": 7}]}),
            "ROUTES[0].methods: expected list of methods, found a number",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "timeout": "0s"}]}),
            "ROUTES[0].timeout: expected from 1s",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "operation": "A"}]}),
            "ROUTES[0].operation: expected dotted name",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "csrf": "strict", "insecure_skip_csrf": true}]}),
            "insecure_skip_csrf: expected nothing",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{x}", "access": "user"}, {"path": "/a/{y}", "access": "public"}]}),
            "ROUTES[1].path: ties with the rule for \"/a/{x}\"",
        ),
        (
            json!({"ROUTES": [{"path": "/api/auth/me", "access": "public"}]}),
            "ROUTES[0].path: expected a path that is not an endpoint",
        ),
        (
            json!({"ROUTES": [{"path": "/a/../b", "access": "public"}]}),
            "ROUTES[0].path: expected a path in canonical form",
        ),
        (
            json!({"ROUTES": [{"path": "/login", "access": "user"}]}),
            "ROUTES[0].access: expected public: the login page",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{id}", "access": "owner"}]}),
            "ROUTES[0].owner_from: expected beside access",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{id}", "access": "user", "owner_from": "/a/{id}"}]}),
            "ROUTES[0].owner_from: expected beside access",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{id}", "access": "owner", "owner_from": "/a/{name}"}]}),
            "ROUTES[0].owner_from: expected parameters of",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "save": "safe"}]}),
            "ROUTES[0].save: expected beside idempotency",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": ["GET"], "idempotency": "required"}]}),
            "ROUTES[0].idempotency: expected a method that changes something",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "retention": "1m"}]}),
            "ROUTES[0].retention: expected from 1h to 30d",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "body_limit": "1MB"}]}),
            "ROUTES[0].body_limit: expected a number of bytes up to 16777216, found a text",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook"}]}),
            "WEBHOOK_A_SECRET: expected the provider's signing secret, found nothing",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook"}], "WEBHOOK_A_SECRET": ""}),
            "WEBHOOK_A_SECRET: expected the provider's signing secret, found nothing",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1,"}),
            "WEBHOOK_A_SECRET: secret 2: expected the provider's signing secret",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "strip", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].scheme: expected one of \"standard\", \"stripe\",",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook", "tolerance": "5m"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].tolerance: expected nothing: this scheme signs no time",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook", "dedupe": "event_id"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].dedupe: expected \"payload_hash\"",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "shopify", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].events: expected the types that this webhook takes",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "shopify", "path": "/hook", "events": []}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].events: expected the types that this webhook takes",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "header": "x"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].header: expected beside scheme",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "hmac", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].header: expected a header's name",
        ),
        (
            json!({"WEBHOOKS": [{"name": "A", "scheme": "github", "path": "/hook"}]}),
            "WEBHOOKS[0].name: expected 1 to 32 of a-z",
        ),
        (
            json!({"ROUTES": [{"path": "/hook", "access": "user", "methods": ["POST"]}], "WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].path: ties with the rule for",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/a"}, {"name": "a", "scheme": "github", "path": "/b"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[1].name: expected another name",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "limit": "x"}]}),
            "ROUTES[0].limit: expected the name of one of RATE_LIMITS, found \"x\"",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "x", "limit": 0, "period": "1m", "by": "address"}]}),
            "RATE_LIMITS[0].limit: expected a number from 1 to 1000000",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "x", "limit": 5, "period": "1s", "by": "address"}]}),
            "RATE_LIMITS[0].period: expected from 10s to 1d",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "login-address", "limit": 5, "period": "1m", "by": "address"}]}),
            "RATE_LIMITS[0].name: expected 1 to 32 of",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook/{id}"}]}),
            "WEBHOOKS[0].path: expected a path in canonical form, without query and parameters",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "hook", "retention": "1m"}]}),
            "WEBHOOKS[0].path: expected a path in canonical form",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "timeout": "2m"}]}),
            "WEBHOOKS[0].timeout: expected from 1s to 60s",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "twilio", "path": "/hook", "events": ["x"]}]}),
            "WEBHOOKS[0].events: expected nothing: this scheme tells no type",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "hmac", "header": "x", "path": "/hook", "events": ["x"]}]}),
            "WEBHOOKS[0].events: expected nothing: this scheme tells no type",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "delivery": "inbox", "body_limit": 2_000_000}]}),
            "WEBHOOKS[0].body_limit: expected at most 1900000",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "order": "/id"}]}),
            "WEBHOOKS[0].order: expected delivery = \"inbox\" beside it",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "secret": "AUTH_SECRET"}]}),
            "AUTH_SECRET: expected another secret for a webhook",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1, secret2"}),
            "WEBHOOK_A_SECRET: expected no space around a secret",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook"}], "WEBHOOK_A_SECRET": "a,secret2"}),
            "WEBHOOK_A_SECRET: expected secrets of 6 characters or more",
        ),
        (
            json!({"CHECKOUT_PROVIDERS": [{"provider": "a", "confirm": [{"event": "x", "ref": "/id"}]}]}),
            "CHECKOUT_PROVIDERS[0].provider: expected the name of one of WEBHOOKS",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1",
                "CHECKOUT_PROVIDERS": [{"provider": "a", "confirm": [{"event": "x", "ref": "/id"}]}]}),
            "CHECKOUT_PROVIDERS[0].provider: expected a webhook whose scheme signs the event's type",
        ),
        (
            json!({"CHECKOUT_PROVIDERS": [{"provider": "a", "confirm": []}]}),
            "CHECKOUT_PROVIDERS[0].confirm: expected list of events, at least one",
        ),
        (
            json!({"CHECKOUT_PROVIDERS": [{"provider": "a", "confirm": [{"event": "x", "ref": "id"}]}]}),
            "CHECKOUT_PROVIDERS[0].confirm[0].ref: expected a JSON pointer",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "checkout": {"provider": "a"}}]}),
            "ROUTES[0].checkout: expected idempotency = \"required\" beside it",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "required", "checkout": {"provider": "a"}}]}),
            "ROUTES[0].checkout.provider: expected one of CHECKOUT_PROVIDERS, found \"a\"",
        ),
        (
            json!({"MAINTENANCE": [{"path": "/tick"}]}),
            "UPSTREAM_SECRET: expected a secret beside MAINTENANCE",
        ),
        (
            json!({"MAINTENANCE": [{"path": "/tick?x"}], "UPSTREAM_SECRET": "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe"}),
            "MAINTENANCE[0].path: expected a path in canonical form",
        ),
        (
            json!({"MAINTENANCE": [{"path": "/tick"}], "UPSTREAM_SECRET": "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe",
                "ROUTES": [{"path": "/tick", "access": "public"}]}),
            "MAINTENANCE[0].path: ties with the rule for \"/tick\"",
        ),
        (json!({"SESSION": {}}), "SESSION.login: expected \"accounts\" or \"upstream\" (or check"),
        (
            json!({"CREDENTIALS": [{"prefix": "x_", "kind": "user", "machine": false}]}),
            "CREDENTIALS: expected SESSION.login = \"accounts\" beside it",
        ),
        (json!({"ROUTES": [{"path": "/a", "access": "agent"}]}), "ROUTES[0].access: expected SESSION.login"),
        (json!({"AGENT_TOKENS": "a:mk_x"}), "AGENT_TOKENS: expected SESSION.login"),
        (json!({"AGENT_TOKEN": "a:mk_x"}), "AGENT_TOKEN: unknown, did you mean \"AGENT_TOKENS\"?"),
        (json!({"SESSION": "[broken"}), "SESSION: not valid JSON at column 2: expected value"),
    ] {
        expect_mistake(&changes, wanted);
    }
}
