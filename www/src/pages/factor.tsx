import { useEffect, useState } from "preact/hooks";
import { AddPasskey } from "../account/passkeys.tsx";
import { SetUpTotp } from "../account/totp.tsx";
import { call, type Problem as ProblemData } from "../api.ts";
import { enter, signOut } from "../go.ts";
import { hasPasskeys, usePasskey } from "../passkeys.ts";
import type { Settings } from "../settings.ts";
import { type PageProps, start } from "../start.tsx";
import { TEXTS } from "../texts/common.ts";
import { SIGNING_IN } from "../texts/signing-in.ts";
import { dropTicket, readTicket } from "../ticket.ts";
import { Act } from "../ui/act.tsx";
import { type Field, Form, PASSWORD, PLAIN, type Values, wrongAt } from "../ui/form.tsx";
import { Narrow } from "../ui/narrow.tsx";
import { Problem } from "../ui/problem.tsx";

const { factor: T } = SIGNING_IN;
const { fields: LABELS } = TEXTS;

type Method = "password" | "totp" | "recovery_code" | "passkey";

/**
 * The second step of signing in, if this tab has a ticket. Otherwise it confirms that a signed-in user is still there.
 */
function Factor({ settings }: PageProps) {
  const [ticket] = useState(readTicket);
  if (ticket?.enroll) return <Enroll settings={settings} ticket={ticket.ticket} />;
  return ticket ? (
    <Confirm
      settings={settings}
      ticket={ticket.ticket}
      methods={usable(ticket.methods as Method[], settings)}
    />
  ) : (
    <Reauthenticate settings={settings} />
  );
}

/** Offers the password at once, and the user's factors as soon as they are known. */
function Reauthenticate({ settings }: PageProps) {
  const [methods, setMethods] = useState<Method[]>(["password"]);
  useEffect(() => {
    call<{ totp: boolean; passkeys: unknown[] }>("GET", "/auth/factors").then((answer) => {
      if (!answer.ok) return;
      const { totp, passkeys } = answer.data;
      const enrolled: [boolean, Method][] = [
        [totp, "totp"],
        [passkeys.length > 0, "passkey"],
      ];
      const found = enrolled.filter(([has]) => has).map(([, method]) => method);
      setMethods(usable(["password", ...found], settings));
    });
  }, [settings]);
  return <Confirm settings={settings} ticket={undefined} methods={methods} />;
}

/** Leaves out passkeys if this site or this browser has none. */
function usable(methods: Method[], settings: Settings) {
  const can = settings.passkeys && hasPasskeys();
  return methods.filter((method) => method !== "passkey" || can);
}

interface ConfirmProps extends PageProps {
  ticket: string | undefined;
  methods: Method[];
}

function Confirm({ settings, ticket, methods }: ConfirmProps) {
  const [method, setMethod] = useState<Method>(methods[0] ?? "totp");
  const [problem, setProblem] = useState<ProblemData>();
  const [isExpired, setExpired] = useState(false);
  const path = ticket ? "/auth/factor" : "/auth/reauthenticate";
  const done = () => {
    dropTicket();
    enter();
  };
  const send = async (json: Record<string, unknown>) => {
    const answer = await call("POST", path, { json: { ...(ticket && { ticket }), ...json } });
    if (!answer.ok && EXPIRED.includes(answer.problem.code ?? "")) {
      dropTicket();
      setExpired(true);
    }
    return answer;
  };
  const sendTyped = async (values: Values) => {
    const answer = await send(values);
    if (method === "passkey") return answer;
    return wrongAt(answer, FIELDS[method].name, WRONG[method]);
  };
  const leave = () => {
    if (!ticket) return signOut();
    dropTicket();
    location.assign(`sign-in${location.search}`);
  };
  const withPasskey = async () => {
    setProblem(undefined);
    const json = ticket ? { ticket } : { for: "reauthentication" };
    const used = await usePasskey(json, T.passkeyFailed);
    const answer = used.ok ? await send(used.data) : used;
    if (answer.ok) done();
    else setProblem(answer.problem);
  };

  if (isExpired) {
    return (
      <Narrow settings={settings} title={T.expired}>
        <p class="about" role="status">
          {T.expiredDetail}
        </p>
        <a class="button" href={`sign-in${location.search}`} data-testid="start-again">
          {T.startAgain}
        </a>
      </Narrow>
    );
  }
  return (
    <Narrow settings={settings} title={T.heading}>
      <p class="about">{ABOUT[method]}</p>
      {method === "passkey" ? (
        <Act label={T.usePasskey} tone="fill" testId="factor-passkey" act={withPasskey} />
      ) : (
        <Form
          key={method}
          id="factor"
          label={T.submit}
          fields={[FIELDS[method]]}
          send={sendTyped}
          done={done}
          leaves
          focus
        />
      )}
      {problem && <Problem problem={problem} testId="factor-error" />}
      <p class="links">
        {methods
          .filter((other) => other !== method)
          .map((other) => (
            <button
              key={other}
              type="button"
              class="quiet"
              data-testid={`use-${other}`}
              onClick={() => setMethod(other)}
            >
              {USE[other]}
            </button>
          ))}
      </p>
      <p class="links">
        <button type="button" class="quiet" data-testid="not-you" onClick={leave}>
          {T.notYou}
        </button>
      </p>
    </Narrow>
  );
}

/** Sets up the first factor of a user who must have one. Then the user confirms a code as at each sign-in. */
function Enroll({ settings, ticket }: PageProps & { ticket: string }) {
  const [withPasskey, setWithPasskey] = useState(false);
  const done = () => {
    dropTicket();
    location.assign(`sign-in${location.search}`);
  };
  return (
    <Narrow settings={settings} title={T.enrollHeading}>
      <p class="about">{T.enrollAbout}</p>
      {withPasskey ? (
        <AddPasskey ticket={ticket} done={done} />
      ) : (
        <SetUpTotp ticket={ticket} done={done} />
      )}
      {settings.passkeys && hasPasskeys() && (
        <p class="links">
          <button
            type="button"
            class="quiet"
            data-testid="enroll-other"
            onClick={() => setWithPasskey(!withPasskey)}
          >
            {withPasskey ? T.enrollApp : T.usePasskey}
          </button>
        </p>
      )}
    </Narrow>
  );
}

const CODE: Field = {
  name: "code",
  label: LABELS.code,
  inputMode: "numeric",
  pattern: "[0-9 ]*",
  required: true,
  ...PLAIN,
  autocomplete: "one-time-code",
};

const FIELDS: Record<Exclude<Method, "passkey">, Field> = {
  password: PASSWORD,
  totp: CODE,
  recovery_code: {
    name: "recoveryCode",
    as: "recovery",
    label: LABELS.recoveryCode,
    required: true,
    ...PLAIN,
  },
};

const WRONG: Record<Exclude<Method, "passkey">, string> = {
  password: LABELS.wrongPassword,
  totp: T.wrongCode,
  recovery_code: T.wrongRecovery,
};

const ABOUT: Record<Method, string> = {
  password: T.aboutPassword,
  totp: T.aboutCode,
  recovery_code: T.aboutRecovery,
  passkey: T.aboutPasskey,
};

const USE: Record<Method, string> = {
  password: T.usePassword,
  totp: T.useCode,
  recovery_code: T.useRecovery,
  passkey: T.usePasskey,
};

const EXPIRED = ["ticket_unusable", "unauthorized"];

start(Factor);
