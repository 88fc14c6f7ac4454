/**
 * The one page that needs no session: signing in, and the two ways to an account.
 *
 * Whether the edge keeps the accounts or this app's server does is the deployment's to say, so the edge is
 * asked at first and the server where the edge has no such endpoint.
 *
 * `/login#setup` makes the first account and `/login#invite=<token>` redeems an invite. With `next`,
 * the fragment is that of the page that was asked for, whatever it says.
 */

import { call, useAnswer } from "../api.js";
import { Form } from "../form.jsx";
import { inviteOf } from "../invite-link.js";
import { returnPath } from "../return-path.js";
import { Simple, useHash } from "../ui.jsx";

export function Login() {
  const hash = useHash();
  const isLedHere = new URLSearchParams(location.search).has("next");
  const invite = inviteOf(hash);
  if (!isLedHere && hash === "#setup") return <SetUp />;
  if (!isLedHere && invite !== undefined) return <Redeem key={invite} token={invite} />;
  return <SignIn />;
}

function SignIn() {
  const next = returnPath(location);
  const canSetUp = useAnswer("/api/auth/setup")?.data?.open === true;
  return (
    <Simple title="Sign in">
      {next !== "/" && (
        <p class="about">
          You will go on to <code>{next}</code>
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
          Is nobody here yet?{" "}
          <a href="/login#setup" data-testid="setup-link">
            Make the first account
          </a>
        </p>
      )}
    </Simple>
  );
}

async function signIn(json) {
  const answer = await call("POST", "/api/auth/login", { json });
  // To an edge without accounts it is a path like any other: it asks for a session, or nothing is there.
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
      <p class="about">It is an admin’s. Others join by invite.</p>
      <Form
        id="setup"
        label="Make the account"
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
  // An empty segment would make it another path.
  const path = `/api/invites/${encodeURIComponent(token || "none")}/redeem`;
  return (
    <Simple title="You are invited">
      <p class="about">
        Make your account. If the invite names an address, it is for that one alone.
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

/** In place of this page, so that no history keeps a link that was used. */
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
  hint: "What this deployment’s SETUP_TOKEN says",
  autocomplete: "off",
  spellcheck: false,
  required: true,
};

const WRONG_TOKEN = { field: "setupToken", detail: "This is not the setup token." };

const NO_SETUP = {
  title: "Setting up is not open here.",
  detail: "This deployment has no SETUP_TOKEN, or keeps no accounts.",
};
