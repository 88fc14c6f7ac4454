/** Long work: it shows how far it is, and can be stopped. */

import { useEffect, useRef, useState } from "preact/hooks";
import { CONSOLE } from "../texts/console.ts";

const { work: T } = CONSOLE;

export interface Work {
  /** Undefined if nothing runs. */
  running: { label: string; done: number; total?: number } | undefined;
  /** Runs `task` until it ends or `signal` is aborted. It tells its progress. */
  run: (
    label: string,
    task: (tell: (done: number, total?: number) => void, signal: AbortSignal) => Promise<void>,
  ) => Promise<void>;
  stop: () => void;
}

export function useWork(): Work {
  const [running, setRunning] = useState<Work["running"]>();
  const control = useRef<AbortController>(undefined);
  useEffect(() => () => control.current?.abort(), []);
  return {
    running,
    run: async (label, task) => {
      if (control.current) return;
      const current = new AbortController();
      control.current = current;
      setRunning({ label, done: 0 });
      try {
        await task((done, total) => setRunning({ label, done, total }), current.signal);
      } finally {
        control.current = undefined;
        setRunning(undefined);
      }
    },
    stop: () => control.current?.abort(),
  };
}

export function Progress({ work: { running, stop } }: { work: Work }) {
  if (!running) return null;
  const { label, done, total } = running;
  return (
    <div class="work" data-testid="work">
      <progress aria-label={label} max={total} value={total === undefined ? undefined : done} />
      <span>{total === undefined ? `${label}: ${done}` : T.of(label, done, total)}</span>
      <button type="button" class="plain" data-testid="work-stop" onClick={stop}>
        {T.stop}
      </button>
    </div>
  );
}
