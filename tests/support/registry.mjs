// An npm registry on this machine, without a network: it serves the packages that are installed in this checkout, and the
// two that `npm run package` has built.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGzip } from "node:zlib";
import { inProject } from "../../scripts/lib/project.mjs";

// Starts it. Resolves to `{origin, served, stop}`: `served` has the names of the packages that were downloaded.
export async function startRegistry() {
  const versions = [...(await builtPackages()), ...installedPackages()];
  const served = new Set();
  const server = createServer(async (request, response) => {
    const [, name, version] = /^\/(@[^/]+\/[^/]+|[^/]+)(?:\/-\/(.+)\.tgz)?$/.exec(
      decodeURIComponent(request.url.split("?")[0]),
    ) ?? [null, null];
    const found = versions.filter((one) => one.manifest.name === name);
    if (found.length === 0) return response.writeHead(404).end("{}");
    if (version === undefined) return response.end(JSON.stringify(packument(found, origin)));
    const one = found.find(({ manifest }) => manifest.version === version);
    if (!one) return response.writeHead(404).end("{}");
    served.add(name);
    await send(one, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    served,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

function packument(found, origin) {
  const all = found.map(({ manifest }) => {
    const { devDependencies, scripts, ...rest } = manifest;
    const tarball = `${origin}/${manifest.name}/-/${manifest.version}.tgz`;
    // Install scripts may use the network.
    return [manifest.version, { ...rest, dist: { tarball } }];
  });
  // The version that the checkout itself uses comes first.
  const [[latest]] = all;
  return {
    name: found[0].manifest.name,
    "dist-tags": { latest },
    versions: Object.fromEntries(all),
  };
}

async function builtPackages() {
  const folder = inProject("build/packages");
  const files = readdirSync(folder).map((name) => join(folder, name));
  return Promise.all(
    files.map(async (file) => {
      const args = ["-xzOf", file, "package/package.json"];
      const { stdout } = await promisify(execFile)("tar", args);
      return { manifest: JSON.parse(stdout), file };
    }),
  );
}

// Lists the packages of the lock file that are installed. Those of other systems are not.
function installedPackages() {
  const { packages } = JSON.parse(readFileSync(inProject("package-lock.json"), "utf8"));
  const folders = Object.entries(packages)
    .filter(([path, { link }]) => path.includes("node_modules/") && !link)
    .map(([path]) => inProject(path))
    .filter((folder) => existsSync(join(folder, "package.json")));
  folders.sort((a, b) => a.split("node_modules").length - b.split("node_modules").length);
  const all = folders.map((folder) => ({
    manifest: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")),
    folder,
  }));
  return all;
}

async function send({ file, folder }, response) {
  if (file) return response.end(readFileSync(file));
  // npm removes the first folder of each path, whatever its name is.
  const name = basename(folder);
  const args = ["-cf", "-", "--exclude", `${name}/node_modules`, "-C", dirname(folder), name];
  const tar = spawn("tar", args, { stdio: ["ignore", "pipe", "inherit"] });
  await pipeline(tar.stdout, createGzip({ level: 1 }), response);
}
