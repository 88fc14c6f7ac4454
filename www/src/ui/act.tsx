/** A button for an action on the server, with a confirmation dialog if the action cannot be undone. */

import { useEffect, useId, useRef, useState } from "preact/hooks";
import { TEXTS } from "../texts/common.ts";

interface ActProps {
  label: string;
  /** The object of the action, for screen readers. */
  about?: string;
  testId?: string;
  tone?: "fill" | "plain" | "danger";
  /** A question that a dialog asks first. */
  question?: string;
  act: () => unknown;
}

/** While `act` runs, the button keeps its place and the focus, and ignores clicks. */
export function Act({ label, about, testId, tone = "plain", question, act }: ActProps) {
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState(false);

  const run = async () => {
    setBusy(true);
    await act();
    setBusy(false);
  };
  const press = ({ detail }: MouseEvent) => {
    // The second click of a double click may hit a button that has replaced this one.
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
      {asking && question && (
        <Question text={question} yes={label} onYes={run} onClose={() => setAsking(false)} />
      )}
    </>
  );
}

interface QuestionProps {
  text: string;
  yes: string;
  onYes: () => void;
  onClose: () => void;
}

/** Escape and "Cancel" mean no. The browser returns the focus to where it was. */
function Question({ text, yes, onYes, onClose }: QuestionProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => dialog.current?.close();

  return (
    <dialog ref={dialog} aria-labelledby={id} data-testid="question" onClose={onClose}>
      <article>
        <p id={id}>{text}</p>
        <footer>
          <button type="button" class="plain" data-testid="question-no" onClick={close}>
            {TEXTS.cancel}
          </button>
          <button
            type="button"
            class="danger"
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
