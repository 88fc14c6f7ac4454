/**
 * Generates docs/api.md from docs/openapi.yaml: `npm run docs:api`. A test checks that the two files agree.
 *
 * 1. The contents come first, then each operation by its tag, then the schemas that several operations share.
 * 2. The access of an operation follows from `security`, the summary and the tag. A test compares it with the rules.
 * 3. The OpenAPI document does not list error codes. `CODES` does; a test compares it with the source.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { isMain, main, say } from "./lib/process.mjs";
import { inProject } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

/** Reads and parses the OpenAPI document. */
export async function readDocument() {
  // Imported here because the package is missing in a fresh clone until the setup has run.
  const { parse } = await import("yaml");
  return parse(readFileSync(inProject("docs/openapi.yaml"), "utf8"));
}

/** Returns the reference as Markdown. */
export function referenceOf(document) {
  const operations = operationsOf(document);
  const { components, info, tags } = document;
  const shared = Object.entries(components.responses).filter(([, response]) =>
    hasInlineSchema(response),
  );
  const parts = [
    "# API reference",
    "Generated from [openapi.yaml](openapi.yaml) by `npm run docs:api`. Change that file, not this one.",
    info.description,
    credentials(components.securitySchemes),
    "## Contents",
    contents(operations),
    ...tags.flatMap(({ name }) => [
      `## ${capitalised(name)}`,
      ...operations
        .filter(({ tag }) => tag === name)
        .flatMap((operation) => section(operation, components)),
    ]),
    "## Schemas",
    ...shared.flatMap(([name, response]) => [
      `### ${name}`,
      response.description,
      ...contentTables("**Body**", response, "always", components),
    ]),
    ...Object.entries(components.schemas).flatMap(([name, schema]) => [
      `### ${name}`,
      schemaSection(schema, components),
    ]),
  ];
  return `${parts.map((part) => part.trim()).join("\n\n")}\n`;
}

/** Returns all operations, in the order of the document. */
export function operationsOf({ paths, security, components }) {
  return Object.entries(paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => {
      const operation = item[method];
      const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
      return {
        title: `${method.toUpperCase()} ${path}`,
        isWrite: method !== "get",
        id: operation.operationId,
        tag: operation.tags[0],
        summary: operation.summary.replace(ADMIN, "").replace(ANY_PRINCIPAL, ""),
        access: accessOf(operation, security),
        parameters: parameters.map((parameter) => resolve(parameter, components)),
        body: operation.requestBody,
        responses: operation.responses,
      };
    }),
  );
}

/** Returns the access of an operation: a key of `ACCESS`. */
function accessOf({ security, summary, tags }, defaultSecurity) {
  const alternatives = security ?? defaultSecurity;
  if (alternatives.length === 0) return "public";
  if (alternatives.some((schemes) => Object.keys(schemes).length === 0)) return "optional";
  if (ANY_PRINCIPAL.test(summary)) return "authenticated";
  const inPerson = IN_PERSON.includes(tags[0]);
  if (ADMIN.test(summary)) return inPerson ? "adminInPerson" : "admin";
  if (["factors", "passwords", "tokens"].includes(tags[0])) return "userInPerson";
  return inPerson ? "human" : "authenticated";
}

/** Returns the error codes that an operation can answer with this status. */
export function codesOf(operation, status) {
  const applies = ([codeStatus, , canAnswer]) =>
    codeStatus === Number(status) && canAnswer(operation);
  return CODES.filter(applies).map(([, code]) => code);
}

function credentials({ session, bearer }) {
  return `A request is authenticated by the session cookie (\`${session.name}\` unless configured otherwise) or by
\`Authorization: ${capitalised(bearer.scheme)} …\`. The body of a refusal is a [Problem](#problem).
[Errors](errors.md) explains its codes.`;
}

function contents(operations) {
  const rows = operations.map(({ title, summary, access }) => [
    link(`\`${title}\``, slug(title)),
    summary,
    ACCESS[access],
  ]);
  return table(["endpoint", "description", "access"], rows);
}

function section(operation, components) {
  const { title, summary, access, id, parameters, body, responses } = operation;
  return [
    `### \`${title}\``,
    `${summary}. Access: ${ACCESS[access]}. Operation: \`${id}\`.`,
    ...parameterTable(parameters, components),
    ...(body ? contentTables("**Body**", body, "required", components) : []),
    "**Responses**",
    responseTable(operation, components),
    ...Object.entries(responses)
      .filter(([, response]) => hasInlineSchema(response))
      .flatMap(([status, response]) =>
        contentTables(`**${status}**`, response, "always", components),
      ),
  ];
}

function parameterTable(parameters, components) {
  if (parameters.length === 0) return [];
  const rows = parameters.map(({ name, in: location, schema, required, description }) => [
    `\`${name}\``,
    location,
    typeOf(schema),
    required ? "yes" : "–",
    meaningOf({ ...schema, description }, components),
  ]);
  return ["**Parameters**", table(["name", "in", "type", "required", "meaning"], rows)];
}

function responseTable(operation, components) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const { description, headers = {}, content = {} } = resolve(response, components);
    const names = Object.keys(headers).map((name) => `\`${name}\``);
    const meaning = description.trim().replace(/\.$/, "");
    const codes = codesOf(operation, status).map((code) => `\`${code}\``);
    return [
      status,
      names.length > 0 ? `${meaning} (${names.join(", ")})` : meaning,
      codes.length > 0
        ? `${link("Problem", "problem")}: ${codes.join(", ")}`
        : bodyOf(response, content),
    ];
  });
  return table(["status", "meaning", "body"], rows);
}

/** Returns a table cell that describes the body of a response other than a refusal. */
function bodyOf(response, content) {
  const [media] = Object.values(content);
  if (!media) return "–";
  if (media.schema.$ref) return typeOf(media.schema);
  return response.$ref ? typeOf(response) : "see below";
}

/** Returns true if a body has a schema without a name. */
function hasInlineSchema({ content = {} }) {
  return Object.values(content).some(({ schema }) => !schema.$ref);
}

/** Returns the members of a body, unless it is a text, and its example, if it has one. */
function contentTables(title, { content }, requiredAs, components) {
  return Object.entries(content).flatMap(([type, { schema, example }]) => [
    [
      `${title}, \`${type}\``,
      schema.allOf && `all of ${schema.allOf.filter(isNamed).map(typeOf).join(", ")}, and`,
      schema.additionalProperties === false && "no other members",
      schema.minProperties && `at least ${schema.minProperties} of the members`,
    ]
      .filter(Boolean)
      .join(", "),
    isNamed(schema) ? typeOf(schema) : memberTable(schema, requiredAs, components),
    ...(example ? [`\`\`\`json\n${JSON.stringify(example, null, 2)}\n\`\`\``] : []),
  ]);
}

function memberTable(schema, requiredAs, components) {
  if (schema.type === "string") return "A text.";
  const inline = (schema.allOf ?? [schema]).filter((part) => !isNamed(part));
  const rows = inline.flatMap((part) => memberRows(part, components));
  return table(["member", "type", requiredAs, "meaning"], rows);
}

function memberRows({ properties, required = [] }, components, prefix = "") {
  return Object.entries(properties).flatMap(([name, schema]) => [
    [
      `\`${prefix}${name}\``,
      typeOf(schema),
      required.includes(name) ? "yes" : "–",
      meaningOf(schema, components),
    ],
    ...(schema.properties ? memberRows(schema, components, `${prefix}${name}.`) : []),
  ]);
}

/** Returns the description of a schema that has a name. */
function schemaSection(schema, components) {
  if (schema.properties) return memberTable(schema, "always", components);
  return `${[capitalised(typeOf(schema)), meaningOf(schema, components)].filter(Boolean).join(": ")}.`;
}

/** Returns a table cell with a schema's type: a link if the schema has a name. */
function typeOf(schema) {
  if (isNamed(schema)) return link(nameOf(schema), slug(nameOf(schema)));
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(", ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  const type = [schema.type].flat().join(" or ");
  return schema.format ? `${type} (${schema.format})` : type;
}

/** Returns a table cell with what the type leaves out. For a schema with a name, the pattern is omitted. */
function meaningOf(anySchema, components) {
  if (isNamed(anySchema)) {
    const { pattern, ...rest } = resolve(anySchema, components);
    return rest.enum ? typeOf(rest) : meaningOf(rest, components);
  }
  const { description, pattern, examples = [], ...schema } = anySchema;
  return [
    description?.trim().replace(/\.$/, ""),
    range(schema.minimum, schema.maximum, ""),
    range(schema.minLength, schema.maxLength, " characters"),
    range(schema.minItems, schema.maxItems, " items"),
    pattern && `\`${pattern}\``,
    schema.default !== undefined && `default \`${schema.default}\``,
    examples.length > 0 && `for example ${examples.map((value) => `\`${value}\``).join(", ")}`,
  ]
    .filter(Boolean)
    .join("; ");
}

function range(min, max, unit) {
  if (min === undefined && max === undefined) return "";
  if (max === undefined) return min === 1 && unit ? "not empty" : `at least ${min}${unit}`;
  return min === undefined ? `at most ${max}${unit}` : `${min} to ${max}${unit}`;
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

function resolve(value, components) {
  if (!isNamed(value)) return value;
  const [kind, name] = value.$ref.split("/").slice(-2);
  return components[kind][name];
}

const isNamed = ({ $ref }) => $ref !== undefined;
const nameOf = ({ $ref }) => $ref.split("/").at(-1);
const link = (text, anchor) => `[${text}](#${anchor})`;
const capitalised = (text) => text[0].toUpperCase() + text.slice(1);

/** Returns the anchor that GitHub gives a heading. */
function slug(heading) {
  const kept = heading.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "");
  return kept.replaceAll(" ", "-");
}

const REFERENCE = "docs/api.md";
const METHODS = ["get", "post", "put", "patch", "delete"];
const ADMIN = / \(admin\)$/;
const ANY_PRINCIPAL = / \(any principal\)$/;
const IN_PERSON = ["passwords", "sessions", "users", "invites", "tokens", "confirmations"];

const ACCESS = {
  public: "anyone",
  authenticated: "any principal",
  optional: "anyone, with or without a principal",
  human: "people in person",
  userInPerson: "people in person",
  admin: "admins",
  adminInPerson: "admins in person",
};

const always = () => true;
const hasAccess =
  (...accesses) =>
  ({ access }) =>
    accesses.includes(access);
const hasId =
  (...ids) =>
  ({ id }) =>
    ids.includes(`${id}`.replace("vestibule.", ""));
const hasParameter =
  (name) =>
  ({ parameters }) =>
    parameters.some((parameter) => parameter.name === name);

/** `[status, code, predicate]`: the predicate says which operations answer with the code. */
export const CODES = [
  [
    400,
    "ambiguous_path",
    ({ parameters }) => parameters.some((parameter) => parameter.in === "path"),
  ],
  [
    400,
    "invalid_body",
    (operation) =>
      operation.body !== undefined ||
      ["all", "limit", "day", "ids", "rule"].some((name) => hasParameter(name)(operation)),
  ],
  [400, "invalid_token", hasId("invites.redeem")],
  [
    400,
    "password_too_common",
    hasId("setup", "invites.redeem", "password.change", "reset.redeem", "recover"),
  ],
  [400, "idempotency_key_invalid", hasParameter("Idempotency-Key")],
  [401, "unauthorized", ({ access }) => access !== "public"],
  [
    401,
    "invalid_credentials",
    hasId(
      "setup",
      "login",
      "login.factor",
      "login.passkey",
      "factors.totp.confirm",
      "password.change",
      "recover",
    ),
  ],
  [401, "second_factor_required", hasId("login")],
  [401, "email_mismatch", hasId("invites.redeem")],
  [403, "forbidden_origin", ({ isWrite }) => isWrite],
  [403, "forbidden_kind", hasAccess("admin", "adminInPerson", "userInPerson")],
  [403, "forbidden_role", hasAccess("admin", "adminInPerson")],
  [403, "forbidden_role", hasParameter("user")],
  [403, "forbidden_role", hasId("tokens.create")],
  [403, "forbidden_human_only", hasAccess("human", "adminInPerson", "userInPerson")],
  [403, "forbidden_scope", ({ access, id }) => access !== "public" && !id.includes("catalogue")],
  [403, "confirmation_invalid", hasId("confirmations.approve", "confirmations.reject")],
  [
    403,
    "forbidden_human_only",
    hasId(
      "factors.totp.begin",
      "factors.totp.confirm",
      "passkeys.begin",
      "passkeys.add",
      "login.passkey.begin",
    ),
  ],
  [
    403,
    "forbidden_policy",
    hasId(
      "users.change",
      "users.delete",
      "users.reset",
      "tokens.create",
      "factors.totp.remove",
      "factors.passkeys.remove",
      "passkeys.add",
    ),
  ],
  [403, "second_factor_enrollment_required", hasId("login")],
  [404, "not_found", always],
  [409, "already_set_up", hasId("setup")],
  [409, "email_taken", hasId("invites.create")],
  [409, "idempotency_in_flight", hasParameter("Idempotency-Key")],
  [409, "idempotency_outcome_unknown", hasParameter("Idempotency-Key")],
  [410, "invite_unusable", ({ tag }) => tag === "invites"],
  [410, "reset_unusable", hasId("reset.redeem")],
  [
    410,
    "ticket_unusable",
    hasId(
      "login.factor",
      "factors.totp.begin",
      "factors.totp.confirm",
      "passkeys.begin",
      "passkeys.add",
      "login.passkey.begin",
    ),
  ],
  [
    410,
    "ceremony_unusable",
    hasId("login.factor", "login.passkey", "passkeys.add", "reauthenticate"),
  ],
  [413, "body_too_large", always],
  [415, "unsupported_media_type", always],
  [422, "idempotency_key_reused", always],
  [429, "rate_limited", always],
  [500, "invite_redeem_failed", hasId("invites.redeem")],
  [503, "store_unavailable", always],
];

// At the end of the file, because it uses the constants above.
if (isMain(import.meta.url)) {
  await main(async () => {
    await setUp("npm");
    writeFileSync(inProject(REFERENCE), referenceOf(await readDocument()));
    say(`wrote ${REFERENCE}`);
  });
}
