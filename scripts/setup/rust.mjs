/** Installs the Rust toolchain of `rust-toolchain.toml` with its components and targets. */

import { readFileSync } from "node:fs";
import { Failure, outputOf, run, say } from "../lib/process.mjs";
import { inProject } from "../lib/project.mjs";

export async function setUpRust() {
  if ((await outputOf("rustup", ["--version"])) === undefined) throw new Failure(NO_RUSTUP);
  const { channel, components, targets } = parseToolchain(
    readFileSync(inProject("rust-toolchain.toml"), "utf8"),
  );

  const of = ["--toolchain", channel];
  const installedTargets = await outputOf("rustup", ["target", "list", "--installed", ...of]);
  const installed = await outputOf("rustup", ["component", "list", "--installed", ...of]);
  if (installedTargets === undefined || installed === undefined) {
    say(`installing Rust ${channel}`);
    await rustup("toolchain", "install", channel, "--profile", "minimal", "--no-self-update");
  }
  for (const target of missing(targets, installedTargets)) {
    say(`adding the Rust target ${target}`);
    await rustup("target", "add", target, ...of);
  }
  for (const component of missing(components, installed)) {
    say(`adding the Rust component ${component}`);
    await rustup("component", "add", component, ...of);
  }
}

/** Parses `rust-toolchain.toml`. */
export function parseToolchain(text) {
  const listOf = (name) => {
    const list = text.match(new RegExp(`^${name}\\s*=\\s*\\[(.*?)\\]`, "ms"))?.[1] ?? "";
    return [...list.matchAll(/"(.*?)"/g)].map(([, item]) => item);
  };
  const channel = text.match(/^channel\s*=\s*"(.*?)"/m)?.[1];
  if (!channel) throw new Failure("rust-toolchain.toml has no channel");
  return { channel, components: listOf("components"), targets: listOf("targets") };
}

/**
 * Returns the names that are not installed. rustup lists a component with its host: `clippy-x86_64-unknown-linux-gnu`.
 */
function missing(wanted, installed = "") {
  const lines = installed.split("\n");
  return wanted.filter(
    (name) => !lines.some((line) => line === name || line.startsWith(`${name}-`)),
  );
}

const rustup = (...args) => run("rustup", args, { what: `rustup ${args.join(" ")}` });

const NO_RUSTUP = `rustup is missing. Install it, open a new shell, and run this again:

  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y`;
