// The packed npm packages, in an empty folder and without Rust: from `npm create vestibule` to a healed cookie.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, get } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { inProject } from "../../scripts/lib/project.mjs";

const run = promisify(execFile);

const folder = realpathSync(mkdtempSync(join(tmpdir(), "vestibule-package-")));
const home = join(folder, "gate");
const packed = inProject("build/packages");
const tarballs = readdirSync(packed).map((name) => join(packed, name));
// Node, npm and a shell, and nothing of Rust.
const programs = join(folder, "programs");
const env = {
  ...process.env,
  PATH: programs,
  WRANGLER_SEND_METRICS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  npm_config_offline: "true",
  npm_config_audit: "false",
  npm_config_fund: "false",
  npm_config_update_notifier: "false",
};

/** Finds a program in the PATH of this process. */
function locate(name) {
  const found = process.env.PATH.split(delimiter).map((place) => join(place, name));
  return realpathSync(found.find((path) => existsSync(path)));
}

let upstream;
const received = [];

before(async () => {
  mkdirSync(programs);
  symlinkSync(process.execPath, join(programs, "node"));
  for (const name of ["npm", "sh"]) symlinkSync(locate(name), join(programs, name));
  for (const name of ["cargo", "rustc", "rustup"]) {
    await assert.rejects(run("sh", ["-c", `command -v ${name}`], { env }));
  }
  upstream = createServer((request, response) => {
    // In development, Vestibule asks once whether its endpoints hide a path of the application.
    if (!request.url.startsWith("/api/")) received.push(request.url);
    response.end(JSON.stringify({ url: request.url, user: request.headers["x-user-id"] }));
  }).listen(0, "127.0.0.1");
  await once(upstream, "listening");
  // The folder that `npm create` would use, with the two packages installed.
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  const install = ["install", "--legacy-peer-deps", "--ignore-scripts", ...tarballs];
  await run("npm", install, { cwd: folder, env });
});

after(() => {
  upstream.close();
  rmSync(folder, { recursive: true, force: true });
});

const bin = (name) => join(folder, "node_modules/.bin", name);
const vestibule = (args, cwd = home) =>
  run(process.execPath, [bin("vestibule"), ...args], { cwd, env }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );

test("the package has no dependencies, and its schema names are those of the documentation", () => {
  const installed = join(folder, "node_modules/vestibule");
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  assert.equal(manifest.dependencies, undefined);
  for (const name of [
    "dist/index.js",
    "dist/index_bg.wasm",
    "dist/tools.wasm",
    "schema/wrangler.json",
    "LICENSE-MIT",
  ]) {
    assert.ok(existsSync(join(installed, name)), name);
  }
  assert.equal(
    readFileSync(join(installed, "schema/vestibule.json"), "utf8"),
    readFileSync(inProject("docs/wrangler.schema.json"), "utf8"),
  );
});

test("create-vestibule writes a Worker with fresh secrets, and changes nothing that exists", async () => {
  const origin = `http://127.0.0.1:${upstream.address().port}`;
  const { stdout } = await run(
    process.execPath,
    [bin("create-vestibule"), "gate", "--upstream", origin],
    {
      cwd: folder,
      env,
    },
  );
  assert.match(stdout, /^Wrote wrangler\.jsonc, src\/index\.ts and \.dev\.vars/);
  const secrets = readFileSync(join(home, ".dev.vars"), "utf8");
  assert.ok(secrets.includes(`UPSTREAM=${origin}\n`));
  assert.equal(new Set(secrets.match(/(?<=_SECRET=|_TOKEN=)[\w-]{43}$/gm)).size, 3);
  assert.equal(statSync(join(home, ".dev.vars")).mode & 0o777, 0o600);
  assert.match(readFileSync(join(home, ".gitignore"), "utf8"), /^\.dev\.vars$/m);
  const manifest = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
  assert.equal(manifest.dependencies.vestibule, "^0.1.0");

  const before = readdirSync(home);
  const again = await vestibule(["init", "gate", "--toml"], folder);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /has .*\.dev\.vars.* already.*Nothing was written/s);
  assert.deepEqual(readdirSync(home), before);

  // What `npm install` would put there.
  mkdirSync(join(home, "node_modules"));
  symlinkSync(join(folder, "node_modules/vestibule"), join(home, "node_modules/vestibule"));
  symlinkSync(inProject("node_modules/wrangler"), join(home, "node_modules/wrangler"));
  symlinkSync(inProject("node_modules/wrangler"), join(folder, "node_modules/wrangler"));
});

test("without wrangler, the commands say how to install it", async () => {
  const alone = join(folder, "alone");
  assert.equal((await vestibule(["init", "alone"], folder)).code, 0);
  const moved = join(home, "node_modules/wrangler");
  rmSync(join(folder, "node_modules/wrangler"));
  try {
    const { code, stderr } = await vestibule(["check"], alone);
    assert.equal(code, 1);
    assert.match(stderr, /^wrangler is missing: run npm install --save-dev wrangler\n$/);
  } finally {
    symlinkSync(realpathSync(moved), join(folder, "node_modules/wrangler"));
  }
});

test("init rejects wrong arguments and writes nothing", async () => {
  for (const [args, message] of [
    [["x", "--login", "nobody"], /--login nobody: expected accounts, upstream, token/],
    [["x", "--upstream", "localhost:1/a"], /expected an origin/],
    [["x", "y"], /expected one folder/],
    [["x", "--force"], /--force/],
  ]) {
    const { code, stderr } = await vestibule(["init", ...args], folder);
    assert.equal(code, 2);
    assert.match(stderr, message);
    assert.ok(!existsSync(join(folder, "x")));
  }
  writeFileSync(join(folder, "a"), "");
  mkdirSync(join(folder, "broken"));
  writeFileSync(join(folder, "broken/package.json"), "{");
  const { code, stderr } = await vestibule(["init", "broken"], folder);
  assert.equal(code, 1);
  assert.match(stderr, /package\.json: .*Nothing was written/);
  assert.deepEqual(readdirSync(join(folder, "broken")), ["package.json"]);
});

const CLASSES = [
  ...readFileSync(inProject("src/config/classes.rs"), "utf8").matchAll(/(\w+) = crate::/g),
];

for (const login of ["accounts", "upstream", "token"]) {
  test(`both formats of the configuration say the same, and pass the check: ${login}`, async () => {
    const checked = await Promise.all(
      ["jsonc", "toml"].map(async (format) => {
        const name = `${login}-${format}`;
        const options = ["--login", login, ...(format === "toml" ? ["--toml"] : [])];
        assert.equal((await vestibule(["init", name, ...options], folder)).code, 0);
        assert.ok(existsSync(join(folder, name, `wrangler.${format}`)));
        const result = await vestibule(["check", "--dev"], join(folder, name));
        assert.equal(result.code, 0, result.stderr);
        const { stdout } = await vestibule(["explain", "GET", "/a", "--json"], join(folder, name));
        return { check: result.stdout, explained: JSON.parse(stdout) };
      }),
    );
    if (login !== "token") {
      // A new class must not be forgotten here.
      const template = readFileSync(join(folder, `${login}-toml`, "wrangler.toml"), "utf8");
      for (const [, name] of CLASSES) assert.ok(template.includes(`class_name = "${name}"`), name);
    }
    assert.match(checked[0].check, /^configuration ok: \d rules/);
    assert.deepEqual(checked[0], checked[1]);
  });
}

const MISTAKES = [
  ["ROUTES", [{ path: "/a", access: "humn" }], /ROUTES\[0\]\.access: expected one of "public"/],
  ["ROUTES", [{ path: "/a/:id", access: "user" }], /ROUTES\[0\]\.path: expected "\{id\}"/],
  ["ROUTES", [{ path: "a", access: "user" }], /ROUTES\[0\]\.path: expected/],
  ["ROUTES", [{ path: "/a" }], /ROUTES\[0\]\.access: expected/],
  ["ROUTES", [{ path: "/a", access: "user", timeout: "5 min" }], /timeout: expected a duration/],
  ["ROUTES", [{ path: "/a", acess: "user" }], /acess: unknown, did you mean "access"/],
  ["ROUTES", [{ path: "/a", access: "owner" }], /owner_from: required/],
  [
    "PUBLIC_ORIGINS",
    ["https://app.example.com/"],
    /PUBLIC_ORIGINS\[0\]: expected the canonical form/,
  ],
  ["SESSION", { login: "account" }, /SESSION\.login: expected one of "accounts"/],
  ["UPSTREAM", "origin.example.com", /UPSTREAM: expected an origin/],
];

test("check names the line of ten typical mistakes", async () => {
  const file = join(home, "wrangler.jsonc");
  const good = readFileSync(file, "utf8");
  const vars = /"vars": \{[\s\S]*?\n {2}\},/;
  try {
    for (const [name, value, message] of MISTAKES) {
      const settings = {
        PUBLIC_ORIGINS: ["https://app.example.com"],
        UPSTREAM: "https://origin.example.com",
        SESSION: { login: "accounts" },
        [name]: value,
      };
      writeFileSync(file, good.replace(vars, `"vars": ${JSON.stringify(settings, null, 2)},`));
      const { code, stderr } = await vestibule(["check"]);
      assert.equal(code, 1);
      assert.match(stderr, message);
      const [, line, quoted] = stderr.match(/^wrangler\.jsonc:(\d+):\d+: .*\n +\d+ \| (.*)/);
      assert.equal(readFileSync(file, "utf8").split("\n")[line - 1].trim(), quoted.trim());
    }
  } finally {
    writeFileSync(file, good);
  }
});

test("deploy --dry-run bundles the Worker, and refuses a wrong configuration first", async () => {
  const { code, stdout, stderr } = await vestibule(["deploy", "--dry-run", "--outdir", "out"]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /env\.ACCOUNTS/);
  assert.ok(readdirSync(join(home, "out")).some((name) => name.endsWith(".wasm")));
  // The template's addresses would deploy a Worker that reaches nothing.
  assert.match(stderr, /^warning: PUBLIC_ORIGINS has the example https:\/\/app\.example\.com/m);
  assert.match(stderr, /^warning: UPSTREAM is the example https:\/\/origin\.example\.com/m);
  const local = await vestibule(["check", "--dev"]);
  assert.equal(local.code, 0, local.stderr);
  assert.doesNotMatch(local.stderr, /example/);
  const wrong = await vestibule(["deploy", "--dry-run", "--env", "nowhere"]);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /no environment "nowhere"/);
});

test("keys prints new secrets, and other commands are explained", async () => {
  const { stdout } = await vestibule(["keys"]);
  assert.match(stdout, /^AUTH_SECRET=[\w-]{43}$/m);
  assert.notEqual(stdout, (await vestibule(["keys"])).stdout);
  for (const args of [[], ["dance"]]) {
    const { code, stderr } = await vestibule(args);
    assert.equal(code, 2);
    assert.match(stderr, /usage: vestibule COMMAND/);
  }
  for (const args of [
    ["--help"],
    ["help"],
    ["check", "--help"],
    ["init", "-h"],
    ["deploy", "--help"],
  ]) {
    const { code, stdout } = await vestibule(args);
    assert.equal(code, 0);
    assert.match(stdout, /^usage: vestibule COMMAND/);
  }
  assert.deepEqual(await vestibule(["--version"]), { code: 0, stdout: "0.1.0\n", stderr: "" });
});

test("check says what is wrong with a file that is no JSON, and with a folder without one", async () => {
  const file = join(home, "wrangler.jsonc");
  const good = readFileSync(file, "utf8");
  try {
    writeFileSync(file, good.replace('"SESSION": {', '"SESSION": '));
    const { code, stderr } = await vestibule(["check"]);
    assert.equal(code, 1);
    assert.match(stderr, /^wrangler\.jsonc:\d+: comma expected\n +\d+ \| +"SESSION": +"login"/);
  } finally {
    writeFileSync(file, good);
  }
  const { code, stderr } = await vestibule(["check"], folder);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^no wrangler\.jsonc or wrangler\.toml in .*: go to the folder of the Worker/,
  );
});

test("explain warns of a method in lower case, and of a log without requests", async () => {
  const lower = await vestibule(["explain", "get", "/assets/a.js"]);
  assert.equal(lower.code, 0);
  assert.match(lower.stderr, /so a rule for GET does not match "get"/);
  const upper = await vestibule(["explain", "GET", "/assets/a.js"]);
  assert.doesNotMatch(upper.stderr, /case-sensitive/);
  const log = join(folder, "access.log");
  writeFileSync(log, "no request\n");
  const other = await vestibule(["explain", "--log", log]);
  assert.match(
    other.stderr,
    /^1 line has no request and was left out: expected the combined format/m,
  );
  writeFileSync(log, '- - - [x] "GET /a HTTP/1.1" 200 1\nno\nno\n');
  const mixed = await vestibule(["explain", "--log", log]);
  assert.match(mixed.stderr, /^2 lines have no request and were left out$/m);
});

/** Runs `vestibule dev` until it answers, calls `body` with its origin and its output, and ends it. */
async function withDev(body, more = []) {
  const port = await freePort();
  const origins = JSON.stringify([`http://localhost:${port}`]);
  const path = join(home, ".dev.vars");
  writeFileSync(
    path,
    readFileSync(path, "utf8").replace(/^PUBLIC_ORIGINS=.*$/m, `PUBLIC_ORIGINS=${origins}`),
  );
  const args = [
    bin("vestibule"),
    "dev",
    "--port",
    String(port),
    "--show-interactive-dev-session=false",
    ...more,
  ];
  const child = spawn(process.execPath, args, { cwd: home, env });
  let output = "";
  const waitFor = (pattern) =>
    new Promise((resolve, reject) => {
      const check = () => pattern.test(output) && resolve();
      check();
      child.on("output", check);
      child.on("close", () => reject(new Error(`vestibule dev has ended:\n${output}`)));
    });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => {
      output += text;
      child.emit("output");
    });
  }
  try {
    await waitFor(/Ready on/);
    await body(`http://localhost:${port}`, { output: () => output, waitFor });
  } finally {
    if (child.exitCode === null) {
      child.kill("SIGTERM");
      await once(child, "close");
    }
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

test("dev protects the application: a first account, a session, a healed cookie", async () => {
  await withDev(async (site) => {
    const navigation = {
      "Sec-Fetch-Mode": "navigate",
      "Sec-Fetch-Dest": "document",
      Accept: "text/html",
    };
    // `fetch` would send a Sec-Fetch-Mode of its own.
    const navigate = get(`${site}/deep/link?a=1`, { headers: navigation });
    const [stranger] = await once(navigate, "response");
    stranger.resume();
    assert.equal(stranger.statusCode, 302);
    const login = stranger.headers.location;
    assert.match(login, /^\/_vestibule\/sign-in\?next=/);
    const page = await fetch(site + login);
    assert.equal(page.status, 200);
    assert.match(await page.text(), /<title>/);
    assert.deepEqual(received, []);

    const setupToken = readFileSync(join(home, ".dev.vars"), "utf8").match(
      /^SETUP_TOKEN=(.*)$/m,
    )[1];
    const setup = await fetch(`${site}/api/auth/setup`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Origin: site },
      body: JSON.stringify({ setupToken, email: "ada@example.com", password: "a long password" }),
    });
    assert.equal(setup.status, 201, await setup.clone().text());
    const [cookie] = setup.headers.getSetCookie()[0].split(";");
    const page2 = await fetch(`${site}/deep/link`, { headers: { Cookie: cookie } });
    assert.deepEqual(await page2.json(), { url: "/deep/link", user: (await setup.json()).userId });

    const broken = await fetch(`${site}/deep/link`, {
      headers: { Cookie: "__Host-session=broken" },
    });
    assert.equal(broken.status, 401);
    assert.match(broken.headers.getSetCookie()[0], /^__Host-session=; .*Max-Age=0/);
    assert.deepEqual(received.splice(0), ["/deep/link"]);
  });
});

const MISTAKEN_UPSTREAMS = [
  ["localhost:5173", /did you mean http:\/\/localhost:5173\?/],
  ["http://localhost:5173/app", /without a path: did you mean http:\/\/localhost:5173\?/],
  ["http://ada:secret@localhost:5173", /without a user name/],
  ["ftp://localhost", /expected an origin, such as http:\/\/localhost:5173/],
  ["http://", /expected an origin, such as/],
  ["", /expected an origin, such as/],
  ["http://127.0.0.1:8787", /Vestibule itself is there/],
];

test("dev rejects an --upstream that is no address of an application, and starts nothing", async () => {
  for (const [text, message] of MISTAKEN_UPSTREAMS) {
    const { code, stdout, stderr } = await vestibule(["dev", "--upstream", text]);
    assert.equal(code, 2, text);
    assert.match(stderr, message);
    assert.match(stderr, /^--upstream /);
    assert.equal(stdout, "");
  }
});

test("dev says that its port is in use, and starts nothing", async () => {
  const { port } = upstream.address();
  const { code, stdout, stderr } = await vestibule(["dev", "--port", String(port)]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`^port ${port} is in use: .* use --port N`, "m"));
  assert.doesNotMatch(stdout, /starting/);
});

test("dev --upstream wins over .dev.vars, and goes on if nothing listens there yet", async () => {
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  await withDev(
    async (site, { output, waitFor }) => {
      assert.match(output(), new RegExp(`starting ${site} before ${origin}\n`));
      assert.match(
        output(),
        new RegExp(`nothing listens at ${origin} yet: until your application`),
      );
      assert.equal((await fetch(`${site}/assets/a.js`)).status, 502);
      const other = createServer((request, response) => response.end(`other ${request.url}`));
      await once(other.listen(port, "127.0.0.1"), "listening");
      try {
        await waitFor(new RegExp(`your application now listens at ${origin}`));
        assert.equal(await (await fetch(`${site}/assets/a.js`)).text(), "other /assets/a.js");
      } finally {
        other.closeAllConnections();
        other.close();
      }
    },
    ["--upstream", origin],
  );
  assert.deepEqual(received.splice(0), []);
});

test("accounts exports the users of a deployment, and imports them", async () => {
  const vars = join(home, ".dev.vars");
  const before = readFileSync(vars, "utf8");
  writeFileSync(vars, `${before}EXPORT_KEY=${"k3yZq8vR".repeat(6)}\n`);
  const file = join(folder, "users.jsonl");
  try {
    await withDev(async (site) => {
      const login = await fetch(`${site}/api/auth/login`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ email: "ada@example.com", password: "a long password" }),
      });
      const [cookie] = login.headers.getSetCookie()[0].split(";");
      const accounts = (...args) =>
        run(process.execPath, [bin("vestibule"), "accounts", ...args], {
          cwd: home,
          env: { ...env, VESTIBULE_COOKIE: cookie },
        }).then(
          ({ stdout }) => ({ code: 0, stdout }),
          ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
        );
      const exported = await accounts("export", site, file);
      assert.deepEqual(exported, { code: 0, stdout: `${file}: 1 users\n` });
      assert.equal(statSync(file).mode & 0o777, 0o600);
      const lines = readFileSync(file, "utf8").trimEnd().split("\n");
      assert.equal(lines.length, 1);
      assert.ok(!lines[0].includes("a long password"));
      const again = await accounts("export", site, file);
      assert.equal(again.code, 2);
      assert.match(again.stderr, /exists: use --resume/);
      assert.deepEqual(await accounts("export", site, file, "--resume"), {
        code: 0,
        stdout: `${file}: 0 users more\n`,
      });
      assert.deepEqual(await accounts("import", site, file), {
        code: 0,
        stdout: "0 added, 1 unchanged, 0 refused\n",
      });
      writeFileSync(file, "no line of an export\n");
      const refused = await accounts("import", site, file, "--dry-run");
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /^line 1: /);
      const resumed = await accounts("export", site, file, "--resume");
      assert.equal(resumed.code, 2);
      assert.equal(readFileSync(file, "utf8"), "no line of an export\n", "nothing is lost");
    });
  } finally {
    writeFileSync(vars, before);
  }
  for (const [args, message] of [
    [["export", "https://app.example.com"], /expected export or import, a URL and a file\nusage: /],
    [["export", "app.example.com", "a"], /app\.example\.com: expected a URL/],
    [["import", "http://app.example.com", "a"], /expected https/],
    [["import", "https://app.example.com", "a", "--resume"], /only for export/],
    [["export", "https://app.example.com", "a"], /either VESTIBULE_TOKEN or VESTIBULE_COOKIE/],
  ]) {
    const { code, stderr } = await vestibule(["accounts", ...args]);
    assert.equal(code, 2);
    assert.match(stderr, message);
    assert.match(stderr, /vestibule accounts import URL FILE/);
  }
  const missing = await run(
    process.execPath,
    [bin("vestibule"), "accounts", "import", "http://localhost:1", join(folder, "missing")],
    { env: { ...env, VESTIBULE_TOKEN: "mul_a" } },
  ).catch((error) => error);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /^cannot read .*missing: ENOENT/);
});

test("explain names the rule for the modules of a development server, which only --dev has", async () => {
  const module = await vestibule(["explain", "GET", "/src/main.js", "--dev"]);
  assert.match(module.stdout, /\(development server\)/);
  const deployed = await vestibule(["explain", "GET", "/src/main.js"]);
  assert.match(deployed.stdout + deployed.stderr, /401 unauthorized/);
});

test("hooks in TypeScript decide, and a hook that fails forbids", async () => {
  const file = join(home, "src/index.ts");
  writeFileSync(
    file,
    `import vestibule, { type Act, type Decision } from "vestibule";

export * from "vestibule";

function decide({ path, query, principal }: Act): Decision {
  if (path.startsWith("/assets/no")) return { decision: "forbid" };
  if (path.startsWith("/assets/pay")) return { decision: "fail", status: 402, body: { error: "plan_needed" } };
  if (path.startsWith("/assets/throw")) throw new Error("a bug");
  if (path.startsWith("/assets/promise")) return Promise.resolve({ decision: "allow" }) as never;
  if (path.startsWith("/assets/odd")) return { decision: "maybe" } as never;
  if (path.startsWith("/assets/who")) return principal === null && query === "?a=1" ? { decision: "allow" } : { decision: "forbid" };
  return { decision: "allow" };
}

export default vestibule.withHooks({ decide });
`,
  );
  const options = [
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--target",
    "es2022",
    "--module",
    "esnext",
  ];
  await run(
    process.execPath,
    [
      inProject("node_modules/typescript/bin/tsc"),
      ...options,
      "--moduleResolution",
      "bundler",
      "--types",
      "",
      "--lib",
      "es2022,webworker",
      file,
    ],
    { cwd: home },
  ).catch(({ stdout }) => assert.fail(stdout));
  await withDev(async (site) => {
    for (const [path, status, reason] of [
      ["/assets/a.js", 200],
      ["/assets/who?a=1", 200],
      ["/assets/no", 403, "hooks"],
      ["/assets/throw", 403, "invalid_hook"],
      ["/assets/promise", 403, "invalid_hook"],
      ["/assets/odd", 403, "invalid_hook"],
    ]) {
      const response = await fetch(site + path);
      const body = await response.json();
      assert.equal(response.status, status, path);
      assert.equal(body.reason, reason, path);
      assert.deepEqual(received.splice(0), status === 200 ? [path] : []);
    }
    const paid = await fetch(`${site}/assets/pay`);
    assert.equal(paid.status, 402);
    assert.deepEqual(await paid.json(), { error: "plan_needed" });
    assert.deepEqual(received.splice(0), []);
  });
});
