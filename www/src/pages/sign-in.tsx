import { useState } from "preact/hooks";
import { call, type Problem as ProblemData } from "../api.ts";
import { enter } from "../go.ts";
import { hasPasskeys, usePasskey } from "../passkeys.ts";
import { siteName } from "../settings.ts";
import { type PageProps, start } from "../start.tsx";
import { TEXTS } from "../texts/common.ts";
import { SIGNING_IN } from "../texts/signing-in.ts";
import { isTicket, keepTicket } from "../ticket.ts";
import { Act } from "../ui/act.tsx";
import { EMAIL, Form, PASSWORD } from "../ui/form.tsx";
import { Narrow } from "../ui/narrow.tsx";
import { Problem } from "../ui/problem.tsx";

const { signIn: T } = SIGNING_IN;

function SignIn({ settings }: PageProps) {
  const query = location.search;
  return (
    <Narrow settings={settings} title={T.heading(siteName(settings))}>
      {settings.setupOpen && (
        <p class="notice">
          {T.noAccount}{" "}
          <a href={`setup${query}${location.hash}`} data-testid="setup-link">
            {T.setUp}
          </a>
        </p>
      )}
      <Form
        id="login"
        label={T.submit}
        fields={[EMAIL, PASSWORD]}
        concerns={{ invalid_credentials: "password" }}
        send={async (json) => {
          const answer = await call("POST", "/auth/login", { json });
          // A second factor follows, with the same button.
          return !answer.ok && isTicket(answer.data)
            ? { ok: true as const, status: answer.status, data: answer.data }
            : answer;
        }}
        done={(data) => {
          if (!isTicket(data)) return enter();
          keepTicket(data);
          location.assign(`factor${query}${location.hash}`);
        }}
        leaves
        focus
      />
      {settings.passkeys && hasPasskeys() && <WithPasskey />}
      {settings.passwords && (
        <p class="links">
          <a href={`reset${query}`} data-testid="reset-link">
            {T.forgot}
          </a>
        </p>
      )}
    </Narrow>
  );
}

/** Signs in with a passkey alone. */
function WithPasskey() {
  const [problem, setProblem] = useState<ProblemData>();
  const signIn = async () => {
    setProblem(undefined);
    const used = await usePasskey({}, T.passkeyFailed);
    if (!used.ok) return setProblem(used.problem);
    const answer = await call("POST", "/auth/passkeys/login", { json: used.data });
    if (!answer.ok) {
      const isUnknown = answer.problem.code === "invalid_credentials";
      return setProblem(isUnknown ? { title: T.passkeyUnknown } : answer.problem);
    }
    enter();
  };
  return (
    <div class="other">
      <span class="or">{TEXTS.or}</span>
      <Act label={T.passkey} testId="passkey-sign-in" act={signIn} />
      {problem && <Problem problem={problem} testId="passkey-error" />}
    </div>
  );
}

// The gateway leads people here who must confirm that it is still them.
if (new URLSearchParams(location.search).get("reason") === "reauthenticate") {
  location.replace(`factor${location.search}${location.hash}`);
} else {
  start(SignIn);
}
