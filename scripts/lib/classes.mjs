/** The Durable Object classes, as `src/config/classes.rs` lists them. */

import { readFileSync } from "node:fs";
import { inProject } from "./project.mjs";

const list = readFileSync(inProject("src/config/classes.rs"), "utf8");

export const CLASSES = [...list.matchAll(/(\w+) = crate::/g)].map(([, className]) => ({
  className,
  binding: className.toUpperCase(),
}));
