/**
 * The page that needs no session: sign-in, the first account and invites. Where Vestibule serves pages of its own, they
 * replace this one.
 *
 * Depending on the deployment, Vestibule or this app's server keeps the accounts. So the page calls Vestibule's
 * endpoint first, and the server if Vestibule does not have that endpoint.
 *
 * `/login#setup` makes the first account, and `/login#invite=<token>` redeems an invite. With `next`, the fragment
 * belongs to the requested page.
 */

import { useEffect } from "preact/hooks";
import { call, useAnswer } from "../api.js";
import { Form } from "../form.jsx";
import { inviteOf } from "../invite-link.js";
import { leaveFor } from "../places.js";
import { returnPath } from "../return-path.js";
import { Simple, useHash } from "../ui.jsx";

export function Login() {
  const hash = useHash();
  useEffect(() => {
    leaveFor("signIn");
  }, []);
  const isRedirected = new URLSearchParams(location.search).has("next");
  const invite = inviteOf(hash);
  if (!isRedirected && hash === "#setup") return <SetUp />;
  if (!isRedirected && invite !== undefined) return <Redeem key={invite} token={invite} />;
  return <SignIn />;
}

function SignIn() {
  const next = returnPath(location);
  const canSetUp = useAnswer("/api/auth/setup")?.data?.open === true;
  return (
    <Simple title="Sign in">
      {next !== "/" && (
        <p class="about">
          After sign-in, you continue to <code>{next}</code>
        </p>
      )}
      <Form
        id="login"
        label="Sign in"
        fields={[EMAIL, { ...PASSWORD, autocomplete: "current-password" }]}
        concerns={{ invalid_credentials: "password" }}
        send={signIn}
        done={() => location.assign(next)}
        leaves
      />
      {canSetUp && (
        <p class="about">
          No account exists yet.{" "}
          <a href="/login#setup" data-testid="setup-link">
            Create the first account
          </a>
        </p>
      )}
    </Simple>
  );
}

async function signIn(json) {
  const answer = await call("POST", "/api/auth/login", { json });
  // A Vestibule without accounts treats this path like any other: it requires a session, or upstream answers 404.
  const isElsewhere = answer.problem?.code === "unauthorized" || answer.status === 404;
  return isElsewhere ? call("POST", "/api/login", { json }) : answer;
}

function SetUp() {
  const send = async (json) => {
    const answer = await call("POST", "/api/auth/setup", { json });
    const { problem } = answer;
    const isClosed = answer.status === 404 || problem?.code === "unauthorized";
    if (isClosed) return { ...answer, problem: NO_SETUP };
    const isWrong = problem?.code === "invalid_credentials";
    return isWrong ? { ...answer, problem: { ...problem, ...WRONG_TOKEN } } : answer;
  };
  return (
    <Simple title="First account">
      <p class="about">This account is an admin. Other users join with an invite.</p>
      <Form
        id="setup"
        label="Create the account"
        fields={[TOKEN, EMAIL, NAME, NEW_PASSWORD]}
        send={send}
        done={enter}
        leaves
      />
      <ToSignIn />
    </Simple>
  );
}

function Redeem({ token }) {
  // An empty segment would change the path.
  const path = `/api/invites/${encodeURIComponent(token || "none")}/redeem`;
  return (
    <Simple title="You are invited">
      <p class="about">
        Create your account. If the invite has an e-mail address, use the same address.
      </p>
      <Form
        id="redeem"
        label="Join"
        fields={[EMAIL, NAME, NEW_PASSWORD]}
        concerns={{ email_mismatch: "email" }}
        send={(json) => call("POST", path, { json })}
        done={enter}
        leaves
      />
      <ToSignIn />
    </Simple>
  );
}

function ToSignIn() {
  return (
    <p class="about">
      Have an account?{" "}
      <a href="/login" data-testid="login-link">
        Sign in
      </a>
    </p>
  );
}

/** Replaces this page, so that the browser's history does not keep a used link. */
function enter() {
  location.replace("/");
}

const EMAIL = {
  name: "email",
  label: "E-mail",
  type: "email",
  autocomplete: "username",
  placeholder: "ada@example.com",
  required: true,
};

const PASSWORD = { name: "password", label: "Password", type: "password", required: true };

const NEW_PASSWORD = { ...PASSWORD, autocomplete: "new-password", hint: "12 to 256 characters" };

const NAME = { name: "name", label: "Name (optional)", autocomplete: "name" };

const TOKEN = {
  name: "setupToken",
  as: "token",
  label: "Setup token",
  hint: "The SETUP_TOKEN of this deployment",
  autocomplete: "off",
  spellcheck: false,
  required: true,
};

const WRONG_TOKEN = { field: "setupToken", detail: "This is not the setup token." };

const NO_SETUP = {
  title: "The first account cannot be created here.",
  detail: "This deployment has no SETUP_TOKEN, or keeps no accounts.",
};
