/** How many requests of machines wait for the person: read again while the page is open, and told by the browser. */

import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "../api.ts";
import type { Settings } from "../settings.ts";
import { ACCOUNT } from "../texts/account.ts";

const { approvals: T } = ACCOUNT;

interface Waiting {
  id: string;
  state: string;
  operation?: string | null;
  method: string;
  path: string;
}

/** Returns the number of pending approvals, at most a page of them. New ones are shown as notifications, if wanted. */
export function useWaiting({ approvals }: Settings) {
  const [count, setCount] = useState(0);
  const known = useRef<Set<string>>(undefined);
  useEffect(() => {
    if (!approvals) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stopped = false;
    const read = async () => {
      clearTimeout(timer);
      if (!document.hidden || wantsNotifications()) {
        // Without a session, the page itself notices it.
        const answer = await call<{ items: Waiting[] }>("GET", "/confirmations?limit=100");
        if (stopped) return;
        if (answer.ok && Array.isArray(answer.data?.items)) {
          const pending = answer.data.items.filter(({ state }) => state === "pending");
          const before = known.current;
          if (before) for (const item of pending) if (!before.has(item.id)) notify(item);
          known.current = new Set(pending.map(({ id }) => id));
          setCount(pending.length);
        }
      }
      timer = setTimeout(read, PAUSE);
    };
    const onVisible = () => {
      if (!document.hidden) read();
    };
    read();
    document.addEventListener("visibilitychange", onVisible);
    addEventListener(DECIDED, read);
    return () => {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
      removeEventListener(DECIDED, read);
    };
  }, [approvals]);
  return count;
}

/** Has the count read again, because the person has decided. */
export function countAgain() {
  dispatchEvent(new Event(DECIDED));
}

const DECIDED = "vestibule-decided";

function notify({ operation, method, path }: Waiting) {
  if (!wantsNotifications() || !document.hidden) return;
  const shown = new Notification(T.notification, { body: operation ?? `${method} ${path}` });
  shown.onclick = () => {
    window.focus();
    shown.close();
  };
}

function wantsNotifications() {
  return (
    "Notification" in globalThis &&
    Notification.permission === "granted" &&
    localStorage.getItem(STORED) === "on"
  );
}

/** Turns notifications on and off in this browser. */
export function Notify() {
  const [isOn, setOn] = useState(wantsNotifications);
  const [isDenied, setDenied] = useState(false);
  if (!("Notification" in globalThis)) return null;
  const toggle = async () => {
    if (isOn) {
      localStorage.removeItem(STORED);
      return setOn(false);
    }
    const permission = await Notification.requestPermission();
    setDenied(permission !== "granted");
    if (permission !== "granted") return;
    localStorage.setItem(STORED, "on");
    setOn(true);
  };
  return (
    <p class="notify">
      <label>
        <input
          type="checkbox"
          checked={isOn}
          data-testid="notify"
          onChange={(event) => {
            event.currentTarget.checked = isOn;
            toggle();
          }}
        />
        {T.notify}
      </label>
      {isDenied && <small data-testid="notify-denied">{T.notifyDenied}</small>}
    </p>
  );
}

const STORED = "vestibule-notify";

/** Milliseconds between two readings. */
const PAUSE = 15_000;
