//! Tests of every mistake: it is reported under the name of its setting.

use serde_json::json;

use super::expect_mistake;

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn reports_each_mistake_in_a_feature_by_name() {
    for (changes, wanted) in [
        (json!({"TURNSTILE_SECRET": ""}), "TURNSTILE_SECRET: expected 1 to 256 visible ASCII characters"),
        (
            json!({"TURNSTILE_SECRET": "1x0000000000000000000000000000000AA"}),
            "TURNSTILE_SECRET: expected the secret of your own widget in production",
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
            "BOT_CHECK.timeout: expected a duration from 1s to 10s",
        ),
        (json!({"POLICY_URL": "https://a:b@policy.example/"}), "POLICY_URL: expected an https URL"),
        (json!({"POLICY_URL": "policy"}), "POLICY_URL: expected an https URL"),
        (json!({"LOG_SAMPLE": 0}), "LOG_SAMPLE: expected a number from 1 to 1000000, found a number"),
        (json!({"LOG_SAMPLE": "often"}), "LOG_SAMPLE: expected a number from 1 to 1000000, found a string"),
        (json!({"AUDIT_RETENTION": "1h"}), "AUDIT_RETENTION: expected a duration from 1d to 3650d"),
        (json!({"AUDIT_RETENTON": "1d"}), "AUDIT_RETENTON: unknown, did you mean \"AUDIT_RETENTION\"?"),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "bot_check": "signup"}]}),
            "ROUTES[0].bot_check: requires the secret TURNSTILE_SECRET",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "bot_check": "sign up"}]}),
            "ROUTES[0].bot_check: expected an action name",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "feature": "new"}]}),
            "ROUTES[0].feature: requires a KV namespace with the binding KV",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "policy": "pay"}]}),
            "ROUTES[0].policy: requires POLICY_URL or a service binding POLICY",
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
            "ROUTES[0].confirm: not allowed with access = \"human\"",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "public", "confirm": "human"}]}),
            "ROUTES[0].confirm: requires an access that identifies the caller",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "audit": "required"}]}),
            "ROUTES[0].audit: expected a binding AUDIT to the class Audit, found none",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "audit": true}]}),
            "ROUTES[0].audit: expected \"best_effort\" or \"required\", found a boolean",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "catalogue": true, "methods": ["GET"]}]}),
            "ROUTES[0].operation: required with catalogue",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "catalogue": true, "operation": "a"}]}),
            "ROUTES[0].methods: required with catalogue",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "catalogue": "yes", "operation": "a", "methods": ["GET"]}]}),
            "ROUTES[0].catalogue: expected true or a table, found a string",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "catalogue": {"schema": "ftp://a"}, "operation": "a", "methods": ["GET"]}]}),
            "ROUTES[0].catalogue.schema: expected a URL or path",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "body_limit": 1}]}),
            "ROUTES[0].body_limit: requires idempotency, confirm, bot_check or return_field",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "a", "limit": 1, "period": "1m", "by": "address", "gate": "NONE"}]}),
            "RATE_LIMITS[0].gate: expected the name of a rate-limit binding",
        ),
        (json!({"ROUTES": {}}), "ROUTES: expected a list of rules, found a table"),
        (json!({"ROUTES": [7]}), "ROUTES[0]: expected a table, found a number"),
        (json!({"ROUTES": [{}]}), "ROUTES[0].path: expected a path pattern, found nothing"),
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
            "ROUTES[0].methods: expected a list of methods, found a number",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "timeout": "0s"}]}),
            "ROUTES[0].timeout: expected a duration from 1s",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "operation": "A"}]}),
            "ROUTES[0].operation: expected a dotted name",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "csrf": "strict", "insecure_skip_csrf": true}]}),
            "insecure_skip_csrf: not allowed",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{x}", "access": "user"}, {"path": "/a/{y}", "access": "public"}]}),
            "ROUTES[1].path: conflicts with the rule for \"/a/{x}\"",
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
            "ROUTES[0].access: expected \"public\" or \"optional\": otherwise the login page",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{id}", "access": "owner"}]}),
            "ROUTES[0].owner_from: required with access = \"owner\"",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{id}", "access": "user", "owner_from": "/a/{id}"}]}),
            "ROUTES[0].owner_from: requires access = \"owner\"",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{id}", "access": "owner", "owner_from": "/a/{name}"}]}),
            "ROUTES[0].owner_from: expected a parameter of",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "save": "safe"}]}),
            "ROUTES[0].save: requires idempotency",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": ["GET"], "idempotency": "required"}]}),
            "ROUTES[0].idempotency: expected a method that changes state",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "retention": "1m"}]}),
            "ROUTES[0].retention: expected a duration from 1h to 30d",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "body_limit": "1MB"}]}),
            "ROUTES[0].body_limit: expected a number of bytes up to 16777216, found a string",
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
            "WEBHOOKS[0].tolerance: not allowed: this scheme signs no timestamp",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook", "dedupe": "event_id"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].dedupe: expected \"payload_hash\"",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "shopify", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].events: expected the types that this webhook accepts",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "shopify", "path": "/hook", "events": []}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].events: expected the types that this webhook accepts",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "header": "x"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].header: requires scheme",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "hmac", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].header: expected a header name",
        ),
        (
            json!({"WEBHOOKS": [{"name": "A", "scheme": "github", "path": "/hook"}]}),
            "WEBHOOKS[0].name: expected 1 to 32 of a-z",
        ),
        (
            json!({"ROUTES": [{"path": "/hook", "access": "user", "methods": ["POST"]}], "WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].path: conflicts with the rule for",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/a"}, {"name": "a", "scheme": "github", "path": "/b"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[1].name: expected a unique name",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "limit": "x"}]}),
            "ROUTES[0].limit: expected the name of a limit in RATE_LIMITS, found \"x\"",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "x", "limit": 0, "period": "1m", "by": "address"}]}),
            "RATE_LIMITS[0].limit: expected a number from 1 to 1000000",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "x", "limit": 5, "period": "1s", "by": "address"}]}),
            "RATE_LIMITS[0].period: expected a duration from 10s to 1d",
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
            "WEBHOOKS[0].timeout: expected a duration from 1s to 60s",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "twilio", "path": "/hook", "events": ["x"]}]}),
            "WEBHOOKS[0].events: not allowed: events of this scheme have no type",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "hmac", "header": "x", "path": "/hook", "events": ["x"]}]}),
            "WEBHOOKS[0].events: not allowed: events of this scheme have no type",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "delivery": "inbox", "body_limit": 2_000_000}]}),
            "WEBHOOKS[0].body_limit: expected at most 1900000",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "order": "/id"}]}),
            "WEBHOOKS[0].order: requires delivery = \"inbox\"",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "secret": "AUTH_SECRET"}]}),
            "AUTH_SECRET: expected the provider's secret for a webhook",
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
            "CHECKOUT_PROVIDERS[0].provider: expected the name of a webhook in WEBHOOKS",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1",
                "CHECKOUT_PROVIDERS": [{"provider": "a", "confirm": [{"event": "x", "ref": "/id"}]}]}),
            "CHECKOUT_PROVIDERS[0].provider: expected a webhook whose scheme signs the event's type",
        ),
        (
            json!({"CHECKOUT_PROVIDERS": [{"provider": "a", "confirm": []}]}),
            "CHECKOUT_PROVIDERS[0].confirm: expected a list of at least one event",
        ),
        (
            json!({"CHECKOUT_PROVIDERS": [{"provider": "a", "confirm": [{"event": "x", "ref": "id"}]}]}),
            "CHECKOUT_PROVIDERS[0].confirm[0].ref: expected a JSON pointer",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "checkout": {"provider": "a"}}]}),
            "ROUTES[0].checkout: requires idempotency = \"required\"",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "required", "checkout": {"provider": "a"}}]}),
            "ROUTES[0].checkout.provider: expected the name of a provider in CHECKOUT_PROVIDERS, found \"a\"",
        ),
        (json!({"MAINTENANCE": [{"path": "/tick"}]}), "UPSTREAM_SECRET: required with MAINTENANCE"),
        (
            json!({"MAINTENANCE": [{"path": "/tick?x"}], "UPSTREAM_SECRET": "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe"}),
            "MAINTENANCE[0].path: expected a path in canonical form",
        ),
        (
            json!({"MAINTENANCE": [{"path": "/tick"}], "UPSTREAM_SECRET": "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe",
                "ROUTES": [{"path": "/tick", "access": "public"}]}),
            "MAINTENANCE[0].path: conflicts with the rule for \"/tick\"",
        ),
        (json!({"SESSION": {}}), "SESSION.login: expected \"accounts\" or \"upstream\" (or check"),
        (
            json!({"CREDENTIALS": [{"prefix": "x_", "kind": "user", "machine": false}]}),
            "CREDENTIALS: requires SESSION.login = \"accounts\"",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "agent"}]}),
            "ROUTES[0].access: \"agent\" requires SESSION.login",
        ),
        (json!({"AGENT_TOKENS": "a:mk_x"}), "AGENT_TOKENS: requires SESSION.login"),
        (json!({"AGENT_TOKEN": "a:mk_x"}), "AGENT_TOKEN: unknown, did you mean \"AGENT_TOKENS\"?"),
        (json!({"SESSION": "[broken"}), "SESSION: not valid JSON at column 2: expected value"),
    ] {
        expect_mistake(&changes, wanted);
    }
}
