/** A button that does something at the server, after a question where that cannot be taken back. */

import { useEffect, useId, useRef, useState } from "preact/hooks";

/**
 * `about` is what it is done to, for those who hear the button by itself. With `question`, a dialog
 * asks first. While `act` runs the button stays where it is, focus and all, and does nothing.
 */
export function Act({ label, about, testId, tone = "outline", question, act }) {
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState(false);

  const run = async () => {
    setBusy(true);
    await act();
    setBusy(false);
  };
  const press = ({ detail }) => {
    // The second of a double click may meet another button, where the first one's was.
    if (busy || detail > 1) return;
    if (question) setAsking(true);
    else run();
  };

  return (
    <>
      <button
        type="button"
        class={tone}
        data-testid={testId}
        aria-label={about && `${label}: ${about}`}
        aria-busy={busy}
        aria-disabled={busy}
        onClick={press}
      >
        {label}
      </button>
      {asking && (
        <Question text={question} yes={label} onYes={run} onClose={() => setAsking(false)} />
      )}
    </>
  );
}

/** Escape and "Keep" are no; the browser gives the focus back to where it was. */
function Question({ text, yes, onYes, onClose }) {
  const dialog = useRef();
  const id = useId();
  useEffect(() => dialog.current.showModal(), []);
  const close = () => dialog.current.close();

  return (
    <dialog ref={dialog} aria-labelledby={id} data-testid="question" onClose={onClose}>
      <article>
        <p id={id}>{text}</p>
        <footer>
          <button type="button" class="outline" data-testid="question-no" onClick={close}>
            Cancel
          </button>
          <button
            type="button"
            data-testid="question-yes"
            onClick={() => {
              close();
              onYes();
            }}
          >
            {yes}
          </button>
        </footer>
      </article>
    </dialog>
  );
}
