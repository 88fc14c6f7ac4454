/**
 * What was just made, in a field to copy it from. Nobody can tell it again, so it stays until it is put away.
 *
 * `name` and `what` begin and end its test ids: `invite` and its `link`.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import { Act } from "../act.jsx";

export function Made({ name, what, label, value, onDone }) {
  const [said, setSaid] = useState();
  const field = useRef();
  useEffect(() => {
    field.current.focus();
    field.current.select();
  }, []);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      setSaid("Copied.");
    } catch {
      field.current.select();
      setSaid("It is selected: copy it from there.");
    }
  };

  const id = `${name}-${what}`;
  return (
    <div class="notice" data-testid={`${name}-made`}>
      <label for={id}>{label} It is shown this once, so copy it now.</label>
      <input id={id} data-testid={id} ref={field} readOnly value={value} />
      <div class="acts">
        <Act label="Copy" tone="" testId={`${name}-copy`} act={copy} />
        <button type="button" class="outline" data-testid={`${name}-made-done`} onClick={onDone}>
          Done
        </button>
        <output data-testid={`${name}-copied`}>{said}</output>
      </div>
    </div>
  );
}
