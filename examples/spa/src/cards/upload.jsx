import { useState } from "preact/hooks";
import { call } from "../api.js";
import { Card, Facts, Problem } from "../ui.jsx";

export function UploadCard() {
  const [answer, setAnswer] = useState();
  const [local, setLocal] = useState();
  const [busy, setBusy] = useState(false);

  const upload = async ({ currentTarget }) => {
    const [file] = currentTarget.files;
    if (!file) return;
    setBusy(true);
    setAnswer(undefined);
    setLocal(await sha256(file));
    setAnswer(await call("POST", "/api/uploads", { body: file }));
    setBusy(false);
  };

  return (
    <Card
      title="Upload"
      about="Streamed to the application, which answers with the size and hash of the file."
    >
      <input
        type="file"
        aria-label="File to upload"
        data-testid="upload-input"
        disabled={busy}
        onChange={upload}
      />
      <div data-testid="upload-result" aria-live="polite" aria-busy={busy}>
        {answer?.ok && (
          <Facts
            rows={[
              ["Bytes", answer.data.bytes],
              ["SHA-256", answer.data.sha256],
              ["Local hash", local && (local === answer.data.sha256 ? "the same" : "different")],
            ]}
          />
        )}
        {answer?.problem && <Problem problem={answer.problem} />}
      </div>
    </Card>
  );
}

/** Returns the SHA-256 of a file as hex digits, or undefined if the file is too large or cannot be read. */
async function sha256(file) {
  if (file.size > 64 * 1024 * 1024) return undefined;
  try {
    const hash = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch {
    return undefined;
  }
}
