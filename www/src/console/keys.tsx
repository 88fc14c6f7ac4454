/**
 * Keyboard shortcuts. `g` and a letter open a screen, other keys press the button that has them as `data-key`. They can
 * be turned off, because speech input may type single letters (WCAG 2.2, success criterion 2.1.4).
 */

import { useEffect, useRef, useState } from "preact/hooks";
import { CONSOLE } from "../texts/console.ts";
import { go, goTo, screenHref } from "./place.ts";

const { keys: T } = CONSOLE;

export interface Shortcut {
  /** The letter after `g`. */
  letter: string;
  screen: string;
  title: string;
}

interface ShortcutsProps {
  screens: Shortcut[];
  /** Whether the help is shown. */
  isShown: boolean;
  setShown: (isShown: boolean) => void;
}

export function Shortcuts({ screens, isShown, setShown }: ShortcutsProps) {
  const [isOn, setOn] = useState(() => localStorage.getItem(STORED) !== "off");
  const begun = useRef(0);

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const { key, target } = event;
      if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
      if (document.querySelector("dialog[open]")) return;
      const isTyping = target instanceof Element && target.matches(TYPED_INTO);
      if (key === "Escape" && isTyping) return (target as HTMLElement).blur();
      if (isTyping) return;
      if (key === "?") {
        event.preventDefault();
        return setShown(true);
      }
      if (!isOn && key !== "Escape") return;
      const isSecond = performance.now() - begun.current < SECOND_KEY_MS;
      begun.current = 0;
      const screen = isSecond && screens.find(({ letter }) => letter === key);
      if (screen) {
        event.preventDefault();
        return goTo(screenHref(screen.screen));
      }
      if (key === "g") begun.current = performance.now();
      else if (act(key)) event.preventDefault();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [isOn, screens, setShown]);

  const toggle = () => {
    if (isOn) localStorage.setItem(STORED, "off");
    else localStorage.removeItem(STORED);
    setOn(!isOn);
  };
  if (!isShown) return null;
  return <Help screens={screens} isOn={isOn} toggle={toggle} onClose={() => setShown(false)} />;
}

export function ShortcutsButton({ show }: { show: () => void }) {
  return (
    <button
      type="button"
      class="quiet keys-button"
      data-testid="keys"
      title={T.title}
      onClick={show}
    >
      <kbd>?</kbd> <span>{T.title}</span>
    </button>
  );
}

/** Carries out a key. Returns whether it means something here. */
function act(key: string) {
  if (key === "/") return focus("[data-main]");
  if (key === "j" || key === "ArrowDown") return moveRow(1);
  if (key === "k" || key === "ArrowUp") return moveRow(-1);
  const button = document.querySelector<HTMLButtonElement>(
    `[data-key="${CSS.escape(key)}"]:not(:disabled)`,
  );
  button?.click();
  return Boolean(button);
}

function focus(selector: string) {
  const found = document.querySelector<HTMLElement>(selector);
  found?.focus();
  return Boolean(found);
}

/** Moves the focus to the link of another row. If an item is open, the neighbour opens. */
function moveRow(step: number) {
  const links = [...document.querySelectorAll<HTMLAnchorElement>("a.open")];
  if (links.length === 0) return false;
  const current = links.findIndex(
    (link) => link === document.activeElement || link.ariaCurrent === "true",
  );
  const target = links[current < 0 ? 0 : Math.min(Math.max(current + step, 0), links.length - 1)];
  const isOpen = links.some((link) => link.ariaCurrent === "true");
  target?.scrollIntoView({ block: "nearest" });
  if (isOpen && target) go({ id: target.closest<HTMLElement>("[data-id]")?.dataset.id });
  else target?.focus();
  return true;
}

interface HelpProps {
  screens: Shortcut[];
  isOn: boolean;
  toggle: () => void;
  onClose: () => void;
}

function Help({ screens, isOn, toggle, onClose }: HelpProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-labelledby="keys-title" data-testid="keys-help" onClose={onClose}>
      <article class="keys">
        <h2 id="keys-title">{T.title}</h2>
        <div class="columns">
          <dl>
            {screens.map(({ letter, title }) => (
              <div key={letter}>
                <dt>
                  <kbd>g</kbd> <kbd>{letter}</kbd>
                </dt>
                <dd>{title}</dd>
              </div>
            ))}
          </dl>
          <dl>
            {T.others.map(([keys, title]) => (
              <div key={title}>
                <dt>
                  {keys.split(" ").map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{title}</dd>
              </div>
            ))}
          </dl>
        </div>
        <footer>
          <button
            type="button"
            class="plain"
            data-testid="keys-toggle"
            aria-pressed={!isOn}
            onClick={toggle}
          >
            {isOn ? T.turnOff : T.turnOn}
          </button>
          <button
            type="button"
            class="fill"
            autofocus
            data-testid="keys-close"
            onClick={() => dialog.current?.close()}
          >
            {T.close}
          </button>
        </footer>
      </article>
    </dialog>
  );
}

const STORED = "vestibule-shortcuts";

const TYPED_INTO =
  "input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";

/** Milliseconds in which the letter has to follow `g`. */
const SECOND_KEY_MS = 1_500;
