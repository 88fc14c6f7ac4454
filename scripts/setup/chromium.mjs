/** Finds or installs Chromium for the browser tests, and sets `CHROMIUM` to its path. */

import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { Failure, outputOf, run, say } from "../lib/process.mjs";

export async function setUpChromium() {
  if (!process.env.CHROMIUM && !find() && (await canInstall())) {
    say("installing Chromium");
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    await run("apt-get", ["update", "-qq"], { env });
    await run("apt-get", ["install", "-qq", "-y", "--no-install-recommends", "chromium"], { env });
  }
  const path = process.env.CHROMIUM || find();
  if (!path) {
    throw new Failure("Chromium not found: install it, or set CHROMIUM to the path of the program");
  }
  if (!existsSync(path)) throw new Failure(`CHROMIUM is ${path}, which does not exist`);
  process.env.CHROMIUM = path;
}

function find() {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const onPath = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...PLACES, ...onPath].find((path) => existsSync(path));
}

async function canInstall() {
  return process.getuid?.() === 0 && (await outputOf("apt-get", ["--version"])) !== undefined;
}

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
