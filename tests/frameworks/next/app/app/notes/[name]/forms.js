"use client";

import { useActionState } from "react";
import { say, upload } from "./actions.js";

export function Say() {
  const [said, action] = useActionState(say, "");
  return (
    <form action={action}>
      <input name="text" data-testid="text" />
      <button type="submit" data-testid="send">
        Send
      </button>
      <output data-testid="said">{said}</output>
    </form>
  );
}

export function Upload() {
  const [uploaded, action] = useActionState(upload, "");
  return (
    <form action={action}>
      <input type="file" name="file" data-testid="file" />
      <button type="submit" data-testid="upload">
        Upload
      </button>
      <output data-testid="uploaded">{uploaded}</output>
    </form>
  );
}
