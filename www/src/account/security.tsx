/** Password, authenticator app, recovery codes, passkeys. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Answer, Problem as ProblemData } from "../api.ts";
import type { PartProps } from "../pages/account.tsx";
import { hasPasskeys } from "../passkeys.ts";
import type { Settings } from "../settings.ts";
import { ACCOUNT } from "../texts/account.ts";
import { TEXTS } from "../texts/common.ts";
import { SIGNING_IN } from "../texts/signing-in.ts";
import { Act } from "../ui/act.tsx";
import { type Field, Form, newPassword, PASSWORD, wrongAt } from "../ui/form.tsx";
import { Problem } from "../ui/problem.tsx";
import { Badge } from "../ui/show.tsx";
import { callSignedIn } from "./list.tsx";
import { type Passkey, Passkeys } from "./passkeys.tsx";
import { RecoveryCodes } from "./recovery.tsx";
import { SetUpTotp } from "./totp.tsx";

const { security: T, sessions: SESSIONS } = ACCOUNT;
const { fields: LABELS } = TEXTS;
const { reset: RESET } = SIGNING_IN;

interface Factors {
  totp: boolean;
  passkeys?: Passkey[];
  recoveryCodesLeft: number;
}

export function Security({ settings }: PartProps) {
  return (
    <>
      {settings.passwords && <Password settings={settings} />}
      {settings.secondFactor && <SecondFactors passkeys={settings.passkeys} />}
    </>
  );
}

function Password({ settings }: { settings: Settings }) {
  const [isChanged, setChanged] = useState(false);
  return (
    <article>
      <h3>{T.passwordHeading}</h3>
      <p class="about">{T.passwordAbout}</p>
      <Form
        id="password"
        label={T.passwordSubmit}
        fields={[CURRENT, newField(settings)]}
        send={async ({ currentPassword, newPassword, revokeTokens }) =>
          wrongAt(
            await callSignedIn("POST", "/auth/password", {
              json: { currentPassword, newPassword, revokeTokens: revokeTokens === "on" },
            }),
            "currentPassword",
            LABELS.wrongPassword,
          )
        }
        done={() => setChanged(true)}
      >
        <label class="check">
          <input type="checkbox" name="revokeTokens" /> {RESET.revokeTokens}
        </label>
      </Form>
      <output class="status" data-testid="password-said">
        {isChanged && T.passwordChanged}
      </output>
    </article>
  );
}

function SecondFactors({ passkeys }: { passkeys: boolean }) {
  const [factors, setFactors] = useState<Factors>();
  const [problem, setProblem] = useState<ProblemData>();
  const [message, setMessage] = useState("");
  const [hasChanged, setHasChanged] = useState(false);
  const status = useRef<HTMLOutputElement>(null);
  const reload = useCallback(async () => {
    const answer = await callSignedIn<Factors>("GET", "/auth/factors");
    if (answer.ok) setFactors(answer.data);
    else setProblem(answer.problem);
  }, []);
  useEffect(() => {
    reload();
  }, [reload]);

  /** Awaits a change, and shows its message or its problem. */
  const change = async (request: Promise<Answer<unknown>>, said: string) => {
    setProblem(undefined);
    const answer = await request;
    if (answer.ok) {
      setMessage(said);
      setHasChanged(true);
    } else setProblem(answer.problem);
    await reload();
    // The button is gone, and the message may be far above it.
    status.current?.focus();
  };
  const endOthers = async () => {
    const answer = await callSignedIn<{ revoked: number }>("DELETE", "/sessions");
    if (!answer.ok) return setProblem(answer.problem);
    setMessage(SESSIONS.signedOutOthers(answer.data.revoked));
    setHasChanged(false);
  };

  return (
    <>
      {problem && <Problem problem={problem} testId="security-error" />}
      <output class="status" ref={status} tabIndex={-1} data-testid="security-said">
        {message}
      </output>
      {hasChanged && (
        <div class="notice" data-testid="security-others">
          {T.otherSessions}
          <div class="actions">
            <Act label={SESSIONS.others} testId="security-end-others" act={endOthers} />
          </div>
        </div>
      )}
      {factors && <Totp factors={factors} change={change} reload={reload} />}
      {factors && passkeys && hasPasskeys() && (
        <Passkeys passkeys={factors.passkeys ?? []} change={change} />
      )}
    </>
  );
}

interface FactorProps {
  factors: Factors;
  change: (request: Promise<Answer<unknown>>, said: string) => Promise<void>;
  reload: () => Promise<void>;
}

function Totp({ factors, change, reload }: FactorProps) {
  const [isSettingUp, setSettingUp] = useState(false);
  const [codes, setCodes] = useState<string[]>();
  const [problem, setProblem] = useState<ProblemData>();
  const makeCodes = async () => {
    const answer = await callSignedIn<{ recoveryCodes: string[] }>(
      "POST",
      "/auth/factors/recovery-codes",
      { json: {} },
    );
    if (answer.ok) setCodes(answer.data.recoveryCodes);
    else setProblem(answer.problem);
  };

  return (
    <>
      <article>
        <h3>
          {T.totpHeading}{" "}
          <Badge tone={factors.totp ? "good" : undefined} testId="totp-state">
            {factors.totp ? T.totpOn : T.totpOff}
          </Badge>
        </h3>
        <p class="about">{T.totpAbout}</p>
        {isSettingUp ? (
          <SetUpTotp
            done={() => {
              setSettingUp(false);
              change(DONE, T.totpAdded);
            }}
          />
        ) : factors.totp ? (
          <Act
            label={T.totpRemove}
            about={T.totpHeading}
            testId="totp-remove"
            tone="danger"
            question={T.totpRemoveQuestion}
            act={() => change(callSignedIn("DELETE", "/auth/factors/totp"), T.totpRemoved)}
          />
        ) : (
          <Act
            label={T.totpSetUp}
            about={T.totpHeading}
            testId="totp-set-up"
            tone="fill"
            act={() => setSettingUp(true)}
          />
        )}
      </article>
      {(factors.totp || (factors.passkeys?.length ?? 0) > 0) && (
        <article>
          <h3>{T.recoveryHeading}</h3>
          <p class="about">
            {T.recoveryAbout} {T.recoveryLeft(factors.recoveryCodesLeft)}
          </p>
          {problem && <Problem problem={problem} testId="recovery-error" />}
          {codes ? (
            <RecoveryCodes
              codes={codes}
              done={() => {
                setCodes(undefined);
                reload();
              }}
            />
          ) : (
            <Act
              label={T.recoveryMake}
              testId="recovery-make"
              question={T.recoveryMakeQuestion}
              act={makeCodes}
            />
          )}
        </article>
      )}
    </>
  );
}

/** For a change that was made already. */
const DONE = Promise.resolve<Answer<unknown>>({ ok: true, status: 204, data: undefined });

const CURRENT: Field = {
  ...PASSWORD,
  name: "currentPassword",
  as: "current",
  label: LABELS.currentPassword,
};

const newField = (settings: Settings): Field => ({
  ...newPassword(settings),
  name: "newPassword",
  as: "new",
  label: LABELS.newPassword,
});
