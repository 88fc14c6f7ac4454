/** The account pages, unless Vestibule serves them. The fragment of the URL selects the page, and is kept during sign-in. */

import { useEffect, useRef, useState } from "preact/hooks";
import { Approvals } from "../account/approvals.jsx";
import { Invites } from "../account/invites.jsx";
import { Profile } from "../account/profile.jsx";
import { Sessions } from "../account/sessions.jsx";
import { Tokens } from "../account/tokens.jsx";
import { Users } from "../account/users.jsx";
import { callSignedIn, useAnswer } from "../api.js";
import { leaveFor } from "../places.js";
import { Top } from "../top.jsx";
import { Problem, useHash, useTitle } from "../ui.jsx";

export function Account() {
  useTitle("Account");
  useEffect(() => {
    leaveFor("account");
  }, []);
  const [version, setVersion] = useState(0);
  const me = useAnswer("/api/auth/me", version, callSignedIn);
  const refresh = () => setVersion((n) => n + 1);

  return (
    <>
      <Top me={me} />
      <main class="account">
        <h1>Account</h1>
        {!me && <p aria-busy="true">Loading…</p>}
        {me?.problem && (
          <>
            <Problem problem={me.problem} testId="account-error" />
            <button type="button" class="outline" data-testid="account-retry" onClick={refresh}>
              Try again
            </button>
          </>
        )}
        {me?.ok && <Pages me={Object(me.data)} refresh={refresh} />}
      </main>
    </>
  );
}

function Pages({ me, refresh }) {
  const hash = useHash();
  const has = { admins: me.role === "admin", accounts: Boolean(me.user) };
  const shown = PAGES.filter(({ only }) => !only || has[only]);
  const page = PAGES.find((candidate) => candidate.hash === hash) ?? PAGES[0];

  // When the page changes, its heading gets the focus.
  const heading = useRef();
  const first = useRef(hash);
  useEffect(() => {
    if (hash !== first.current) heading.current.focus();
    first.current = undefined;
  }, [hash]);

  return (
    <>
      <nav class="tabs" aria-label="Account">
        <ul>
          {shown.map(({ hash, title }) => (
            <li key={hash}>
              <a
                href={hash}
                data-testid={`tab-${hash.slice(1)}`}
                aria-current={hash === page.hash ? "page" : undefined}
              >
                {title}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <section aria-labelledby="page-title" data-testid={`page-${page.hash.slice(1)}`}>
        <h2 id="page-title" tabIndex={-1} ref={heading}>
          {page.title}
        </h2>
        {shown.includes(page) ? (
          <page.Page key={page.hash} me={me} refresh={refresh} />
        ) : (
          <p data-testid={`${page.only}-only`}>{UNAVAILABLE[page.only]}</p>
        )}
      </section>
    </>
  );
}

const PAGES = [
  { hash: "#profile", title: "Profile", Page: Profile },
  { hash: "#sessions", title: "Sessions", Page: Sessions },
  { hash: "#tokens", title: "Tokens", Page: Tokens, only: "accounts" },
  { hash: "#approvals", title: "Approvals", Page: Approvals, only: "accounts" },
  { hash: "#users", title: "Users", Page: Users, only: "admins" },
  { hash: "#invites", title: "Invites", Page: Invites, only: "admins" },
];

const UNAVAILABLE = {
  admins: "This page is only for admins.",
  accounts: "This deployment keeps no accounts, so it has no tokens and no approvals.",
};
