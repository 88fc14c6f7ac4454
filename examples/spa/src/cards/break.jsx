import { useState } from "preact/hooks";
import { BREAKS, play } from "../story.js";
import { Card } from "../ui.jsx";

export function BreakCard({ onDone }) {
  const [steps, setSteps] = useState([]);
  const [playing, setPlaying] = useState();
  const [signedOut, setSignedOut] = useState(false);

  const start = async (choice) => {
    setPlaying(choice.how);
    setSignedOut(false);
    setSteps([]);
    const out = await play(choice, (step) => setSteps((earlier) => [...earlier, step]));
    setSignedOut(out);
    setPlaying(undefined);
    onDone();
  };

  return (
    <Card
      wide
      title="Break your cookie"
      about="In other apps, a broken cookie can lock people out until they clear their browser data. Vestibule clears it in the same answer that refuses it."
    >
      <div class="split">
        <ul class="breaks">
          {BREAKS.map((choice) => (
            <li key={choice.how}>
              <button
                type="button"
                class="outline"
                data-testid={`break-${choice.how}`}
                disabled={playing !== undefined}
                aria-busy={playing === choice.how}
                onClick={() => start(choice)}
              >
                {choice.label}
              </button>
              <span>{choice.about}</span>
            </li>
          ))}
        </ul>
        <div class="stage">
          {steps.length === 0 && <p class="about">Choose a button. The steps appear here.</p>}
          <ol class="story" data-testid="story" aria-live="polite" aria-label="What happened">
            {steps.map((step, index) => (
              <Step key={index} {...step} />
            ))}
          </ol>
          {signedOut && (
            <a class="button" href="/login?next=/" data-testid="sign-in-again">
              Sign in again
            </a>
          )}
        </div>
      </div>
    </Card>
  );
}

function Step({ request, status, text, tone }) {
  return (
    <li class={tone} data-testid="story-item">
      {request && (
        <code>
          {request} → {status || "no answer"}
        </code>
      )}
      <span>{text}</span>
    </li>
  );
}
