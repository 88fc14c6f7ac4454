"use server";

import { createHash } from "node:crypto";

export async function say(_before, form) {
  return form.get("text");
}

export async function upload(_before, form) {
  const bytes = Buffer.from(await form.get("file").arrayBuffer());
  return `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}`;
}
