/** The account page. The fragment of the URL selects the part, and is kept during sign-in. */

import type { ComponentType } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Approvals } from "../account/approvals.tsx";
import { Invites } from "../account/invites.tsx";
import { callSignedIn } from "../account/list.tsx";
import { Profile } from "../account/profile.tsx";
import { Security } from "../account/security.tsx";
import { Sessions } from "../account/sessions.tsx";
import { Tokens } from "../account/tokens.tsx";
import { Users } from "../account/users.tsx";
import { useWaiting } from "../account/waiting.tsx";
import type { Problem as ProblemData } from "../api.ts";
import { signOut } from "../go.ts";
import type { Me } from "../me.ts";
import type { Settings } from "../settings.ts";
import { type PageProps, start } from "../start.tsx";
import { ACCOUNT } from "../texts/account.ts";
import { TEXTS } from "../texts/common.ts";
import { Act } from "../ui/act.tsx";
import { Brand, useTitle } from "../ui/narrow.tsx";
import { Problem } from "../ui/problem.tsx";
import { useHash } from "../ui/show.tsx";

const { account: T } = ACCOUNT;

export interface PartProps {
  me: Me;
  settings: Settings;
  /** Reads the user again. */
  refresh: () => void;
}

function Account({ settings }: PageProps) {
  const waiting = useWaiting(settings);
  useTitle(waiting > 0 ? `(${waiting}) ${T.heading}` : T.heading, settings);
  const [me, setMe] = useState<Me>();
  const [problem, setProblem] = useState<ProblemData>();
  const refresh = useCallback(async () => {
    const answer = await callSignedIn<Me>("GET", "/auth/me");
    if (answer.ok) setMe(answer.data);
    setProblem(answer.ok ? undefined : answer.problem);
  }, []);
  useEffect(() => {
    refresh();
  }, [refresh]);

  return (
    <>
      <header class="top">
        <Brand settings={settings} />
        {me && (
          <div class="who">
            {isAdmin(me) && (
              <a href="console" data-testid="to-console">
                {T.console}
              </a>
            )}
            <span data-testid="signed-in-as">{me.user?.email ?? me.userId}</span>
            <Act label={T.signOut} testId="sign-out" act={signOut} />
          </div>
        )}
      </header>
      <main class="account">
        <h1>{T.heading}</h1>
        {!me && !problem && <p aria-busy="true">{TEXTS.loading}</p>}
        {problem && (
          <>
            <Problem problem={problem} testId="account-error" />
            <Act label={TEXTS.tryAgain} testId="account-retry" act={refresh} />
          </>
        )}
        {me && <Parts me={me} settings={settings} refresh={refresh} waiting={waiting} />}
      </main>
    </>
  );
}

interface Part {
  name: keyof typeof T.sections;
  Part: ComponentType<PartProps>;
  isFor?: (me: Me, settings: Settings) => boolean;
  missing?: string;
}

function Parts({ waiting, ...props }: PartProps & { waiting: number }) {
  const { me, settings } = props;
  // What follows the name belongs to the part.
  const [hash] = useHash().split("?");
  const shown = PARTS.filter(({ isFor }) => !isFor || isFor(me, settings));
  const part = PARTS.find(({ name }) => `#${name}` === hash) ?? PROFILE;
  const title = T.sections[part.name];

  // When the part changes, its heading gets the focus.
  const heading = useRef<HTMLHeadingElement>(null);
  const first = useRef<string | undefined>(hash);
  useEffect(() => {
    if (hash !== first.current) heading.current?.focus();
    first.current = undefined;
  }, [hash]);

  return (
    <div class="parts">
      <nav aria-label={T.heading}>
        <ul>
          {shown.map(({ name }) => (
            <li key={name}>
              <a
                href={`#${name}`}
                data-testid={`tab-${name}`}
                aria-current={name === part.name ? "page" : undefined}
              >
                {T.sections[name]}
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
      </nav>
      <section aria-labelledby="part" data-testid={`page-${part.name}`}>
        <h2 id="part" tabIndex={-1} ref={heading}>
          {title}
        </h2>
        {shown.includes(part) ? (
          <part.Part key={part.name} {...props} />
        ) : (
          <p class="empty" data-testid={part.missing === T.forAdmins ? "admins-only" : "not-here"}>
            {part.missing}
          </p>
        )}
      </section>
    </div>
  );
}

const isAdmin = (me: Me) => me.role === "admin";

const PROFILE: Part = { name: "profile", Part: Profile };

const PARTS: Part[] = [
  PROFILE,
  { name: "security", Part: Security },
  { name: "sessions", Part: Sessions },
  {
    name: "tokens",
    Part: Tokens,
    isFor: (_, { tokens }) => tokens.kinds.length > 0,
    missing: T.notHere,
  },
  {
    name: "approvals",
    Part: Approvals,
    isFor: (_, { approvals }) => approvals,
    missing: T.notHere,
  },
  { name: "users", Part: Users, isFor: isAdmin, missing: T.forAdmins },
  { name: "invites", Part: Invites, isFor: isAdmin, missing: T.forAdmins },
];

start(Account);
