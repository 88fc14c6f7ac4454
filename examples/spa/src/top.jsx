/** The bar at the top of a page: the signed-in user, the account link and the sign-out button. */

import { useState } from "preact/hooks";
import { call } from "./api.js";
import { findPlaces } from "./places.js";
import { Brand, Problem } from "./ui.jsx";

export function Top({ me }) {
  return (
    <header class="top">
      <Brand />
      <Session me={me} />
    </header>
  );
}

function Session({ me }) {
  const [problem, setProblem] = useState();
  const signOut = async () => {
    const answer = await call("POST", "/api/auth/logout");
    if (answer.ok) return location.assign((await findPlaces()).signIn);
    setProblem(answer.problem);
  };
  if (me?.status === 401) {
    return (
      <a class="button" href="/login?next=/">
        Sign in
      </a>
    );
  }
  return (
    <div class="session">
      {problem && <Problem problem={problem} testId="logout-error" />}
      {me?.ok && <span class="who">{me.data.user?.email ?? me.data.userId}</span>}
      <a href="/account" data-testid="account-link">
        Account
      </a>
      <button type="button" class="outline" data-testid="logout" onClick={signOut}>
        Sign out
      </button>
    </div>
  );
}
