/** The console: its screens and the way between them. */

import type { ComponentType } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { callSignedIn } from "../account/list.tsx";
import { useWaiting } from "../account/waiting.tsx";
import type { Problem as ProblemData } from "../api.ts";
import { signOut } from "../go.ts";
import type { Me } from "../me.ts";
import { type Settings, siteName } from "../settings.ts";
import type { PageProps } from "../start.tsx";
import { TEXTS } from "../texts/common.ts";
import { CONSOLE } from "../texts/console.ts";
import { Act } from "../ui/act.tsx";
import { Brand } from "../ui/narrow.tsx";
import { Problem } from "../ui/problem.tsx";
import { Shortcuts, ShortcutsButton } from "./keys.tsx";
import { Announcements, Off } from "./parts.tsx";
import { followLinks, screenHref, usePlace } from "./place.ts";
import { SCREENS, type Screen } from "./screens.tsx";

const { app: T } = CONSOLE;

export interface ScreenProps {
  me: Me;
  settings: Settings;
  refresh: () => void;
}

export function Console({ settings }: PageProps) {
  const [me, setMe] = useState<Me>();
  const [problem, setProblem] = useState<ProblemData>();
  const [isHelpShown, setHelpShown] = useState(false);
  const refresh = useCallback(async () => {
    const answer = await callSignedIn<Me>("GET", "/auth/me");
    if (answer.ok) setMe(answer.data);
    setProblem(answer.ok ? undefined : answer.problem);
  }, []);
  useEffect(() => {
    refresh();
  }, [refresh]);
  useEffect(() => {
    document.addEventListener("click", followLinks);
    return () => document.removeEventListener("click", followLinks);
  }, []);

  const name = usePlace().get("screen");
  const screen = SCREENS.find((screen) => screen.name === name) ?? (SCREENS[0] as Screen);
  const waiting = useWaiting(settings);
  const title = T.screens[screen.name];
  const site = siteName(settings);
  useEffect(() => {
    const count = waiting ? `(${waiting}) ` : "";
    document.title = `${count}${title} · ${T.title} · ${site}`;
  }, [title, waiting, site]);

  return (
    <div class="console">
      <Menu {...{ settings, screen, waiting, me }} showHelp={() => setHelpShown(true)} />
      <main>
        {!me && !problem && <p aria-busy="true">{TEXTS.loading}</p>}
        {problem && (
          <>
            <Problem problem={problem} testId="console-error" />
            <Act label={TEXTS.tryAgain} testId="console-retry" act={refresh} />
          </>
        )}
        {me && <Shown key={screen.name} screen={screen} {...{ me, settings, refresh }} />}
      </main>
      <Shortcuts screens={SHORTCUTS} isShown={isHelpShown} setShown={setHelpShown} />
      <Announcements />
    </div>
  );
}

function Shown({ screen, ...props }: ScreenProps & { screen: Screen }) {
  const { name, feature } = screen;
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // When the screen changes, its heading gets the focus, unless the screen has given it to a field.
    if (hasShown && !document.activeElement?.closest(".screen")) heading.current?.focus();
    hasShown = true;
  }, []);
  const isOff = feature && props.settings.features && !props.settings.features.includes(feature);
  return (
    <section class="screen" aria-labelledby="screen" data-testid={`screen-${name}`}>
      <header>
        <h1 id="screen" tabIndex={-1} ref={heading}>
          {T.screens[name]}
        </h1>
        <p>{T.about[name]}</p>
      </header>
      {isOff ? <Off {...CONSOLE.off[feature]} /> : <Loaded screen={screen} {...props} />}
    </section>
  );
}

/** A screen with code of its own is loaded when it is first shown. */
function Loaded({ screen, ...props }: ScreenProps & { screen: Screen }) {
  const [Found, setFound] = useState<ComponentType<ScreenProps> | undefined>(() => screen.Screen);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    if (Found || !screen.load) return;
    screen.load().then(
      (loaded) => setFound(() => loaded),
      () => setFailed(true),
    );
  }, [Found, screen]);
  if (failed) return <Problem problem={{ title: TEXTS.broken, detail: TEXTS.outdated }} />;
  return Found ? <Found {...props} /> : <p aria-busy="true">{TEXTS.loading}</p>;
}

let hasShown = false;

interface MenuProps {
  settings: Settings;
  screen: Screen;
  waiting: number;
  me: Me | undefined;
  showHelp: () => void;
}

function Menu({ settings, screen, waiting, me, showHelp }: MenuProps) {
  const [isOpen, setOpen] = useState(false);
  // Another screen closes the menu.
  useEffect(() => setOpen(false), [screen]);
  return (
    <div class={isOpen ? "menu open" : "menu"}>
      <header class="menu-top">
        <Brand settings={settings} />
        <button
          type="button"
          class="plain menu-button"
          aria-expanded={isOpen}
          aria-controls="menu"
          data-testid="menu-button"
          onClick={() => setOpen(!isOpen)}
        >
          {T.menu}
        </button>
      </header>
      <div class="menu-body" id="menu">
        <nav aria-label={T.title}>
          {T.groups.map(([group, title]) => (
            <div key={group}>
              <h2 id={`group-${group}`}>{title}</h2>
              <ul aria-labelledby={`group-${group}`}>
                {SCREENS.filter((shown) => shown.group === group).map(({ name }) => (
                  <li key={name}>
                    <a
                      href={screenHref(name)}
                      data-testid={`to-${name}`}
                      aria-current={name === screen.name ? "page" : undefined}
                    >
                      {T.screens[name]}
                      {name === "approvals" && waiting > 0 && (
                        <span class="count" data-testid="waiting">
                          {waiting}
                          <span class="hidden"> {T.waiting}</span>
                        </span>
                      )}
                    </a>
                  </li>
                ))}
              </ul>
            </div>
          ))}
        </nav>
        <footer>
          <ShortcutsButton show={showHelp} />
          <a href="account" data-testid="to-account">
            {me?.user?.email ?? T.account}
          </a>
          <Act label={T.signOut} testId="sign-out" tone="plain" act={signOut} />
        </footer>
      </div>
    </div>
  );
}

const SHORTCUTS = SCREENS.map(({ name, letter }) => ({
  letter,
  screen: name,
  title: T.screens[name],
}));
