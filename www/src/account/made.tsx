/**
 * Shows a new secret in a field, to copy it. The secret cannot be shown again, so it stays until the user closes it.
 *
 * The test ids consist of `name` and `what`, for example `invite-link`.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import { TEXTS } from "../texts/common.ts";
import { Act } from "../ui/act.tsx";

interface MadeProps {
  name: string;
  what: string;
  label: string;
  value: string;
  onDone: () => void;
}

export function Made({ name, what, label, value, onDone }: MadeProps) {
  const [message, setMessage] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      setMessage(TEXTS.copied);
    } catch {
      field.current?.select();
      setMessage(TEXTS.copyFailed);
    }
  };

  const id = `${name}-${what}`;
  return (
    <div class="notice" data-testid={`${name}-made`}>
      <label for={id}>{label}</label>
      <input id={id} data-testid={id} ref={field} readOnly value={value} />
      <div class="actions">
        <Act label={TEXTS.copy} tone="fill" testId={`${name}-copy`} act={copy} />
        <button type="button" class="plain" data-testid={`${name}-made-done`} onClick={onDone}>
          {TEXTS.done}
        </button>
        <output data-testid={`${name}-copied`}>{message}</output>
      </div>
    </div>
  );
}
