// A return field must name a target on this site, or upstream is not called. Also: an idempotency key in the body.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { assertProblem, openGateway } from "../support/gateway.mjs";
import { createSessionToken, sessionCookies } from "../support/tokens.mjs";

let gateway;
before(async () => {
  gateway = await openGateway({
    routes: [
      { path: "/go", access: "public", return_field: "returnTo", body_limit: 2000 },
      { path: "/go/back", methods: ["GET"], access: "public", return_field: "returnTo" },
      {
        path: "/run",
        methods: ["POST"],
        access: "user",
        idempotency: "required",
        invocation_id: "/run/invocationId",
      },
      {
        path: "/maybe",
        methods: ["POST"],
        access: "user",
        idempotency: "optional",
        invocation_id: "/invocationId",
      },
    ],
    variables: { REDIRECT_ORIGINS: "https://pay.example, https://other.example" },
  });
});
after(() => gateway.stop());

const FORM = "application/x-www-form-urlencoded";
const QP = "quoted-printable";
const JSON_TYPE = "application/json";
const PARTS = "multipart/form-data; boundary=xyz";
const parts = (...values) =>
  `${values
    .map((value) => `--xyz\r\nContent-Disposition: form-data; name="returnTo"\r\n\r\n${value}\r\n`)
    .join("")}--xyz--\r\n`;
const post = (type, body, path = "/go", more = {}) =>
  gateway.request(path, { method: "POST", headers: { "Content-Type": type, ...more }, body });

describe("a return field", () => {
  for (const [label, type, body] of [
    ["of a form", FORM, "a=1&returnTo=%2Fm%2F42%3Ftab%3D2&b=2"],
    ["of a form, twice", FORM, "returnTo=/a&returnTo=/b"],
    ["that is empty", FORM, "returnTo="],
    ["that is missing", FORM, "a=//evil.example"],
    ["to the login page", FORM, "returnTo=/login?error=1"],
    ["to an allowed origin", FORM, "returnTo=https://pay.example/c/1"],
    ["of a JSON object", JSON_TYPE, '{"returnTo":"/a","b":{"returnTo":"//evil.example"}}'],
    ["of a JSON object, null", JSON_TYPE, '{"returnTo":null}'],
    ["of a multipart form", PARTS, parts("/a")],
    ["of an empty body", undefined, ""],
  ]) {
    test(`${label} is forwarded unchanged`, async () => {
      const { seen } = await gateway.expectForwarded(() => post(type, body));
      assert.equal((await seen.body).toString(), body);
    });
  }

  for (const [label, type, body, field = "returnTo"] of [
    ["of a form", FORM, "returnTo=https%3A%2F%2Fevil.example"],
    ["of a form, escaped", FORM, "return%54o=%2f%2fevil.example"],
    ["of a form, the second value", FORM, "returnTo=/a&returnTo=//evil.example"],
    ["to an origin that looks like an allowed one", FORM, "returnTo=https://pay.example.evil/"],
    ["with a user name", FORM, "returnTo=https://pay.example@evil.example/"],
    ["with a backslash", FORM, "returnTo=/%5Cevil.example"],
    ["with a `javascript:` URL", FORM, "returnTo=javascript:alert(1)"],
    ["to an endpoint", FORM, "returnTo=/api/auth/logout"],
    ["of a JSON object", JSON_TYPE, '{"returnTo":"//evil.example"}'],
    [
      "of a JSON object, the first member",
      JSON_TYPE,
      '{"returnTo":"//evil.example","returnTo":"/a"}',
    ],
    [
      "of a JSON object, the second member",
      JSON_TYPE,
      '{"returnTo":"/a","return\\u0054o":"//evil.example"}',
    ],
    ["of a JSON object, as a list", JSON_TYPE, '{"returnTo":["//evil.example"]}', "(body)"],
    ["of invalid JSON", JSON_TYPE, '{"returnTo":"/a"', "(body)"],
    ["of a multipart form", PARTS, parts("//evil.example")],
    ["of a multipart form, the second part", PARTS, parts("/a", "//evil.example")],
    [
      "of a multipart form, with an unquoted name",
      PARTS,
      parts("//x").replace('"returnTo"', "returnTo"),
      "(body)",
    ],
    ["of a body of another type", "text/plain", "returnTo=//evil.example", "(body)"],
    ["of a body without a type", undefined, "returnTo=//evil.example", "(body)"],
    ["as a list", FORM, "returnTo[]=//evil.example"],
    ["as an item of a list", FORM, "returnTo%5B0%5D=//evil.example"],
    ["in another case", FORM, "ReturnTo=//evil.example"],
    ["of a JSON object, in another case", JSON_TYPE, '{"ReturnTo":"//evil.example"}'],
    ["of a JSON object, as a list in another case", JSON_TYPE, '{"returnto":["//evil"]}', "(body)"],
    ["after a semicolon", FORM, "a=b;returnTo=//evil.example"],
    [
      "in EBCDIC",
      `${FORM}; charset=ibm037`,
      "%99%85%A3%A4%99%95%E3%96=%61%61%85%A5%89%93",
      "(body)",
    ],
    [
      "of a body with two types",
      `${JSON_TYPE}; a=b, ${FORM}`,
      '{"a":"&returnTo=//evil.example&"}',
      "(body)",
    ],
    [
      "of a multipart form, quoted-printable",
      PARTS,
      parts("/=2Fevil.example").replace("\r\n\r\n", `\r\nContent-Transfer-Encoding: ${QP}\r\n\r\n`),
      "(body)",
    ],
  ]) {
    test(`${label} that leaves the site is rejected`, async () => {
      const response = await gateway.expectNotForwarded(() => post(type, body));
      assert.equal(assertProblem(response, 400, "invalid_body").field, field);
    });
  }

  test("in a compressed body is rejected, whatever its value", async () => {
    for (const value of ["//evil.example", "/a"]) {
      const gzipped = gzipSync(`returnTo=${value}`);
      const encoded = { "Content-Encoding": "gzip" };
      const response = await gateway.expectNotForwarded(() => post(FORM, gzipped, "/go", encoded));
      assert.equal(assertProblem(response, 400, "invalid_body").field, "(body)");
    }
  });

  test("is checked in the query too, under any method", async () => {
    for (const [path, options] of [
      ["/go/back?returnTo=//evil.example", {}],
      ["/go/back?returnTo=/a&returnTo=//evil.example", {}],
      ["/go?return%54o=//evil.example", { method: "POST" }],
      ["/go?returnTo[]=//evil.example", { method: "POST" }],
      ["/go/back?RETURNTO=//evil.example", {}],
      ["/go/back?a=1;returnTo=//evil.example", {}],
    ]) {
      const response = await gateway.expectNotForwarded(() => gateway.request(path, options));
      assert.equal(assertProblem(response, 400, "invalid_body").field, "returnTo");
    }
    assert.equal((await gateway.request("/go/back?returnTo=/a&x=//evil.example")).text, "ok");
  });

  test("returns 413 for a body above body_limit", async () => {
    const response = await gateway.expectNotForwarded(() => post(FORM, `a=${"x".repeat(2000)}`));
    assertProblem(response, 413, "body_too_large");
  });
});

describe("a key in the body", () => {
  const Cookie = () => sessionCookies(createSessionToken());
  const run = (body, headers = {}, path = "/run") =>
    gateway.request(path, {
      method: "POST",
      headers: {
        "Content-Type": JSON_TYPE,
        Cookie: Cookie(),
        "Sec-Fetch-Site": "same-origin",
        ...headers,
      },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  const bodyWith = (invocationId, more) => ({ run: { invocationId }, ...more });

  test("is used if no header has a key, and its request runs once", async () => {
    const { response } = await gateway.expectForwarded(() => run(bodyWith("run-1")));
    assert.equal(response.headers["idempotent-replayed"], undefined);
    const again = await gateway.expectNotForwarded(() => run(bodyWith("run-1")));
    assert.deepEqual([again.text, again.headers["idempotent-replayed"]], [response.text, "true"]);
    const other = await gateway.expectNotForwarded(() => run(bodyWith("run-1", { amount: 2 })));
    assertProblem(other, 422, "idempotency_key_reused");
    await gateway.expectForwarded(() => run(bodyWith("run-2")));
  });

  test("is ignored if a header has a key", async () => {
    const key = { "Idempotency-Key": "k-1" };
    const invocation = { "Invocation-ID": "i-1" };
    await gateway.expectForwarded(() => run(bodyWith("b-1"), { ...key, ...invocation }));
    await gateway.expectForwarded(() => run(bodyWith("b-1"), invocation));
    await gateway.expectForwarded(() => run(bodyWith("b-1")));
    await gateway.expectNotForwarded(() => run(bodyWith("b-1"), key));
    const bad = await gateway.expectNotForwarded(() =>
      run(bodyWith("b-2"), { "Idempotency-Key": "a, b" }),
    );
    assertProblem(bad, 400, "idempotency_key_invalid");
  });

  for (const [label, body, error] of [
    ["missing", { run: {} }, "idempotency_key_missing"],
    ["null", bodyWith(null), "idempotency_key_missing"],
    ["at another place", { invocationId: "x" }, "idempotency_key_missing"],
    ["in a body that is not JSON", "run[invocationId]=x", "idempotency_key_missing"],
    ["in an empty body", "", "idempotency_key_missing"],
    ["a number", bodyWith(7), "idempotency_key_invalid"],
    ["a list", bodyWith(["x"]), "idempotency_key_invalid"],
    ["an empty string", bodyWith(""), "idempotency_key_invalid"],
    ["a string with a space", bodyWith("a b"), "idempotency_key_invalid"],
    ["a string that is too long", bodyWith("k".repeat(256)), "idempotency_key_invalid"],
  ]) {
    test(`that is ${label} is rejected`, async () => {
      assertProblem(await gateway.expectNotForwarded(() => run(body)), 400, error);
    });
  }

  test("may be missing if it is optional", async () => {
    await gateway.expectForwarded(() => run({}, {}, "/maybe"));
    await gateway.expectForwarded(() => run({}, {}, "/maybe"));
    await gateway.expectForwarded(() => run({ invocationId: "m-1" }, {}, "/maybe"));
    await gateway.expectNotForwarded(() => run({ invocationId: "m-1" }, {}, "/maybe"));
  });

  test("in a compressed body is rejected, unless a header has a key", async () => {
    const encoded = { "Content-Encoding": "gzip" };
    for (const path of ["/run", "/maybe"]) {
      const refused = await gateway.expectNotForwarded(() => run(bodyWith("g-1"), encoded, path));
      assertProblem(refused, 400, "idempotency_key_invalid");
      await gateway.expectForwarded(() =>
        run(bodyWith("g-1"), { ...encoded, "Idempotency-Key": `g${path}` }, path),
      );
    }
    await gateway.expectForwarded(() => run("", encoded, "/maybe"));
  });
});
