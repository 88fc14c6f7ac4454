// The commands in the documentation exist: npm scripts, commands of wrangler, and endpoints.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { parse } from "yaml";
import { inProject, npmProgram, toolEnvironment } from "../../scripts/lib/project.mjs";
import { codeBlocks, pages } from "./pages.mjs";

const textOf = (file) => readFileSync(inProject(file), "utf8");
const ours = pages().filter((file) => !file.startsWith("docs/recipes/"));

test("each npm script exists", () => {
  const { scripts } = JSON.parse(textOf("package.json"));
  const named = ours.flatMap((file) =>
    [...textOf(file).matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name]) => ({ file, name })),
  );
  assert.ok(named.length > 50);
  for (const { file, name } of named) assert.ok(name in scripts, `${file}: npm run ${name}`);
});

test("each command of wrangler exists", async () => {
  // The first one or two words; a value or an option follows.
  const command = /\bnpx wrangler ((?:[a-z][a-z:-]*)(?: [a-z][a-z:-]*)?)/g;
  const commands = new Set(
    ours.flatMap((file) => [...textOf(file).matchAll(command)].map(([, words]) => words)),
  );
  assert.ok(commands.size >= 5);
  const check = async (words) => {
    const { stdout } = await promisify(execFile)(
      npmProgram("wrangler"),
      [...words.split(" "), "--help"],
      { env: toolEnvironment() },
    );
    assert.ok(stdout.trimStart().startsWith(`wrangler ${words}`), `wrangler ${words}`);
  };
  for (const words of commands) await check(words);
});

test("each endpoint in a command exists, with its method", () => {
  const { paths } = parse(textOf("docs/openapi.yaml"));
  const known = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => ({
      method: method.toUpperCase(),
      pattern: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, "[^/]+")}$`),
    })),
  );
  const own =
    /^\/api\/(agent-tokens|audit|auth|confirmations|explain|features|idempotency|invites|sessions|users|webhooks)\b/;
  const calls = codeBlocks("sh")
    .filter(({ place }) => !place.startsWith("docs/recipes/"))
    .flatMap(({ place, code }) =>
      code
        .replaceAll("\\\n", " ")
        .split(/\n|&&|\|/)
        .filter((line) => /\bcurl\b/.test(line))
        .flatMap((line) => {
          const path = line.match(/(?:\$at|https?:\/\/[\w.:]+)(\/api\/[^\s"'?]*)/)?.[1];
          const method = line.match(/-X (\w+)/)?.[1] ?? (/--json|-d /.test(line) ? "POST" : "GET");
          return path && own.test(path) ? [{ place, path, method }] : [];
        }),
    );
  assert.ok(calls.length > 30);
  for (const { place, path, method } of calls) {
    assert.ok(
      known.some((call) => call.method === method && call.pattern.test(path)),
      `${place}: ${method} ${path}`,
    );
  }
});
