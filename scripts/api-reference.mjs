/**
 * Writes docs/api.md from docs/openapi.yaml: `npm run docs:api`. A test holds the one against the other.
 *
 * 1. Contents first, then each operation by its tag, then what several of them share, once.
 * 2. Who may call is read from `security`, the summary and the tag; a test holds it against the rules.
 * 3. The document does not have the codes of refusals. `CODES` does; a test holds it against the source.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { isMain, main, say } from "./lib/process.mjs";
import { inProject } from "./lib/project.mjs";
import { setUp } from "./setup.mjs";

/** The OpenAPI document, parsed. */
export async function readDocument() {
  // Not imported at the top: in a fresh clone the package is there only after the set-up.
  const { parse } = await import("yaml");
  return parse(readFileSync(inProject("docs/openapi.yaml"), "utf8"));
}

/** The reference, as Markdown. */
export function referenceOf(document) {
  const operations = operationsOf(document);
  const { components, info, tags } = document;
  const shared = Object.entries(components.responses).filter(([, one]) => ownSchema(one));
  const parts = [
    "# API reference",
    "Written from [openapi.yaml](openapi.yaml) by `npm run docs:api`: change that file, not this one.",
    info.description,
    credentials(components.securitySchemes),
    "## Contents",
    contents(operations),
    ...tags.flatMap(({ name }) => [
      `## ${capitalised(name)}`,
      ...operations.filter(({ tag }) => tag === name).flatMap((one) => section(one, components)),
    ]),
    "## Schemas",
    ...shared.flatMap(([name, one]) => [
      `### ${name}`,
      one.description,
      ...contentTables("**Body**", one, "always", components),
    ]),
    ...Object.entries(components.schemas).flatMap(([name, one]) => [
      `### ${name}`,
      inFull(one, components),
    ]),
  ];
  return `${parts.map((part) => part.trim()).join("\n\n")}\n`;
}

/** Every operation of the document, in its order. */
export function operationsOf({ paths, security, components }) {
  return Object.entries(paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => {
      const one = item[method];
      const parameters = [...(item.parameters ?? []), ...(one.parameters ?? [])];
      return {
        title: `${method.toUpperCase()} ${path}`,
        changes: method !== "get",
        id: one.operationId,
        tag: one.tags[0],
        does: one.summary.replace(ADMIN, "").replace(ANYBODY, ""),
        who: whoMayCall(one, security),
        parameters: parameters.map((parameter) => resolved(parameter, components)),
        body: one.requestBody,
        responses: one.responses,
      };
    }),
  );
}

/** Who may call: a name of `WHO`. */
function whoMayCall({ security, summary, tags }, everywhere) {
  const ways = security ?? everywhere;
  if (ways.length === 0) return "public";
  if (ways.some((way) => Object.keys(way).length === 0)) return "optional";
  if (ANYBODY.test(summary)) return "authenticated";
  const inPerson = IN_PERSON.includes(tags[0]);
  if (ADMIN.test(summary)) return inPerson ? "adminInPerson" : "admin";
  if (tags[0] === "tokens") return "userInPerson";
  return inPerson ? "human" : "authenticated";
}

/** The codes of refusals with a status that an operation gives. */
export function codesOf(operation, status) {
  const applies = ([of, , gives]) => of === Number(status) && gives(operation);
  return CODES.filter(applies).map(([, code]) => code);
}

function credentials({ session, bearer }) {
  return `Who is asking is told by the session cookie (\`${session.name}\`, or as configured) or by
\`Authorization: ${capitalised(bearer.scheme)} …\`. A refusal's body is a [Problem](#problem); what its codes mean is told
under [refusals](operations.md#refusals) and [accounts](accounts.md).`;
}

function contents(operations) {
  const rows = operations.map(({ title, does, who }) => [
    linked(`\`${title}\``, slug(title)),
    does,
    WHO[who],
  ]);
  return table(["endpoint", "does", "who"], rows);
}

function section(one, components) {
  return [
    `### \`${one.title}\``,
    `${one.does}. Who may: ${WHO[one.who]}. Operation: \`${one.id}\`.`,
    ...parameterTable(one.parameters, components),
    ...(one.body ? contentTables("**Body**", one.body, "required", components) : []),
    "**Answers**",
    answerTable(one, components),
    ...Object.entries(one.responses)
      .filter(([, response]) => ownSchema(response))
      .flatMap(([status, one]) => contentTables(`**${status}**`, one, "always", components)),
  ];
}

function parameterTable(parameters, components) {
  if (parameters.length === 0) return [];
  const rows = parameters.map(({ name, in: place, schema, required, description }) => [
    `\`${name}\``,
    place,
    typeOf(schema),
    required ? "yes" : "–",
    meaningOf({ ...schema, description }, components),
  ]);
  return ["**Parameters**", table(["name", "in", "type", "required", "meaning"], rows)];
}

function answerTable(one, components) {
  const rows = Object.entries(one.responses).map(([status, response]) => {
    const { description, headers = {}, content = {} } = resolved(response, components);
    const names = Object.keys(headers).map((name) => `\`${name}\``);
    const means = description.trim().replace(/\.$/, "");
    const codes = codesOf(one, status).map((code) => `\`${code}\``);
    return [
      status,
      names.length > 0 ? `${means} (${names.join(", ")})` : means,
      codes.length > 0
        ? `${linked("Problem", "problem")}: ${codes.join(", ")}`
        : bodyOf(response, content),
    ];
  });
  return table(["status", "means", "body"], rows);
}

/** What an answer that is no refusal holds, in a cell. */
function bodyOf(response, content) {
  const [media] = Object.values(content);
  if (!media) return "–";
  if (media.schema.$ref) return typeOf(media.schema);
  return response.$ref ? typeOf(response) : "see below";
}

/** The schema of a body that has no name of its own. */
function ownSchema({ content = {} }) {
  return Object.values(content).some(({ schema }) => !schema.$ref);
}

/** The members of a body, and an example where there is one. */
function contentTables(title, { content }, requiredAs, components) {
  return Object.entries(content).flatMap(([type, { schema, example }]) => [
    [
      `${title}, \`${type}\``,
      schema.allOf && `all of ${schema.allOf.filter(isNamed).map(typeOf).join(", ")}, and`,
      schema.additionalProperties === false && "no other members than these",
      schema.minProperties && `at least ${schema.minProperties} of them`,
    ]
      .filter(Boolean)
      .join(", "),
    memberTable(schema, requiredAs, components),
    ...(example ? [`\`\`\`json\n${JSON.stringify(example, null, 2)}\n\`\`\``] : []),
  ]);
}

function memberTable(schema, requiredAs, components) {
  const own = (schema.allOf ?? [schema]).filter((one) => !isNamed(one));
  const rows = own.flatMap((one) => memberRows(one, components));
  return table(["member", "type", requiredAs, "meaning"], rows);
}

function memberRows({ properties, required = [] }, components, within = "") {
  return Object.entries(properties).flatMap(([name, schema]) => [
    [
      `\`${within}${name}\``,
      typeOf(schema),
      required.includes(name) ? "yes" : "–",
      meaningOf(schema, components),
    ],
    ...(schema.properties ? memberRows(schema, components, `${within}${name}.`) : []),
  ]);
}

/** A schema that has a name, where it is described. */
function inFull(schema, components) {
  if (schema.properties) return memberTable(schema, "always", components);
  return `${[capitalised(typeOf(schema)), meaningOf(schema, components)].filter(Boolean).join(": ")}.`;
}

/** A schema's type, in a cell: a link where it has a name. */
function typeOf(schema) {
  if (isNamed(schema)) return linked(nameOf(schema), slug(nameOf(schema)));
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(", ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  const type = [schema.type].flat().join(" or ");
  return schema.format ? `${type} (${schema.format})` : type;
}

/** What the type does not say, in a cell. Of a schema with a name, all but its pattern. */
function meaningOf(found, components) {
  if (isNamed(found)) {
    const { pattern, ...rest } = resolved(found, components);
    return rest.enum ? typeOf(rest) : meaningOf(rest, components);
  }
  const { description, pattern, examples = [], ...schema } = found;
  return [
    description?.trim().replace(/\.$/, ""),
    range(schema.minimum, schema.maximum, ""),
    range(schema.minLength, schema.maxLength, " characters"),
    range(schema.minItems, schema.maxItems, " of them"),
    pattern && `\`${pattern}\``,
    schema.default !== undefined && `\`${schema.default}\` unless given`,
    examples.length > 0 && `such as ${examples.map((value) => `\`${value}\``).join(", ")}`,
  ]
    .filter(Boolean)
    .join("; ");
}

function range(least, most, unit) {
  if (least === undefined && most === undefined) return "";
  if (most === undefined) return least === 1 && unit ? "not empty" : `at least ${least}${unit}`;
  return least === undefined ? `at most ${most}${unit}` : `${least} to ${most}${unit}`;
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

function resolved(one, components) {
  if (!isNamed(one)) return one;
  const [kind, name] = one.$ref.split("/").slice(-2);
  return components[kind][name];
}

const isNamed = ({ $ref }) => $ref !== undefined;
const nameOf = ({ $ref }) => $ref.split("/").at(-1);
const linked = (text, to) => `[${text}](#${to})`;
const capitalised = (text) => text[0].toUpperCase() + text.slice(1);

/** What GitHub makes of a heading to link to it. */
function slug(heading) {
  const kept = heading.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "");
  return kept.replaceAll(" ", "-");
}

const REFERENCE = "docs/api.md";
const METHODS = ["get", "post", "put", "patch", "delete"];
const ADMIN = / \(admin\)$/;
const ANYBODY = / \(anybody who is signed in\)$/;
const IN_PERSON = ["sessions", "users", "invites", "tokens", "confirmations"];

const WHO = {
  public: "anyone",
  authenticated: "everybody who is signed in",
  optional: "everybody; who is signed in is known",
  human: "people in person",
  userInPerson: "people in person",
  admin: "admins",
  adminInPerson: "admins in person",
};

const always = () => true;
const isFor =
  (...all) =>
  ({ who }) =>
    all.includes(who);
const isOneOf =
  (...ids) =>
  ({ id }) =>
    ids.includes(`${id}`.replace("vestibule.", ""));
const takes =
  (name) =>
  ({ parameters }) =>
    parameters.some((one) => one.name === name);

/** Which codes a status stands for, and which operations give them. */
export const CODES = [
  [400, "ambiguous_path", ({ parameters }) => parameters.some((one) => one.in === "path")],
  [
    400,
    "invalid_body",
    (one) => one.body !== undefined || ["limit", "day", "ids"].some((name) => takes(name)(one)),
  ],
  [400, "invalid_token", isOneOf("invites.redeem")],
  [400, "idempotency_key_invalid", takes("Idempotency-Key")],
  [401, "unauthorized", ({ who }) => who !== "public"],
  [401, "invalid_credentials", isOneOf("setup", "login")],
  [401, "email_mismatch", isOneOf("invites.redeem")],
  [403, "forbidden_origin", ({ changes }) => changes],
  [403, "forbidden_kind", isFor("admin", "adminInPerson", "userInPerson")],
  [403, "forbidden_role", isFor("admin", "adminInPerson")],
  [403, "forbidden_role", takes("user")],
  [403, "forbidden_role", isOneOf("tokens.create")],
  [403, "forbidden_human_only", isFor("human", "adminInPerson", "userInPerson")],
  [403, "confirmation_invalid", isOneOf("confirmations.approve", "confirmations.reject")],
  [403, "forbidden_policy", isOneOf("users.change", "users.delete", "tokens.create")],
  [404, "not_found", always],
  [409, "already_set_up", isOneOf("setup")],
  [409, "email_taken", isOneOf("invites.create")],
  [409, "idempotency_in_flight", takes("Idempotency-Key")],
  [409, "idempotency_outcome_unknown", takes("Idempotency-Key")],
  [410, "invite_unusable", always],
  [413, "body_too_large", always],
  [415, "unsupported_media_type", always],
  [422, "idempotency_key_reused", always],
  [429, "rate_limited", always],
  [500, "invite_redeem_failed", isOneOf("invites.redeem")],
  [503, "store_unavailable", always],
];

// Last, when all that it uses is there.
if (isMain(import.meta.url)) {
  await main(async () => {
    await setUp("npm");
    writeFileSync(inProject(REFERENCE), referenceOf(await readDocument()));
    say(`wrote ${REFERENCE}`);
  });
}
