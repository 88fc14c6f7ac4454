/**
 * Shows a new secret in a field, to copy it. The secret cannot be shown again, so it stays until the user closes it.
 *
 * The test ids consist of `name` and `what`, for example `invite-link`.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import { Act } from "../act.jsx";

export function Made({ name, what, label, value, onDone }) {
  const [message, setMessage] = useState();
  const field = useRef();
  useEffect(() => {
    field.current.focus();
    field.current.select();
  }, []);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      setMessage("Copied.");
    } catch {
      field.current.select();
      setMessage("Copying failed. The text is selected: copy it yourself.");
    }
  };

  const id = `${name}-${what}`;
  return (
    <div class="notice" data-testid={`${name}-made`}>
      <label for={id}>{label} It is shown only once, so copy it now.</label>
      <input id={id} data-testid={id} ref={field} readOnly value={value} />
      <div class="actions">
        <Act label="Copy" tone="" testId={`${name}-copy`} act={copy} />
        <button type="button" class="outline" data-testid={`${name}-made-done`} onClick={onDone}>
          Done
        </button>
        <output data-testid={`${name}-copied`}>{message}</output>
      </div>
    </div>
  );
}
