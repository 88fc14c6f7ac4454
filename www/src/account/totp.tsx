/** Sets up an authenticator app: key, QR code, the first code, recovery codes. */

import { useEffect, useRef, useState } from "preact/hooks";
import { call, type Problem as ProblemData } from "../api.ts";
import { ACCOUNT } from "../texts/account.ts";
import { TEXTS } from "../texts/common.ts";
import { Form, PLAIN, wrongAt } from "../ui/form.tsx";
import { Problem } from "../ui/problem.tsx";
import { callSignedIn } from "./list.tsx";
import { RecoveryCodes } from "./recovery.tsx";

const { security: T } = ACCOUNT;
const { fields: LABELS } = TEXTS;

interface Secret {
  secret: string;
  uri: string;
}

export function SetUpTotp({ ticket, done }: { ticket?: string; done: () => void }) {
  const [secret, setSecret] = useState<Secret>();
  const [problem, setProblem] = useState<ProblemData>();
  const [codes, setCodes] = useState<string[]>();
  const json = ticket ? { ticket } : {};
  const send = ticket ? call : callSignedIn;
  useEffect(() => {
    send<Secret>("POST", "/auth/factors/totp", { json }).then((answer) => {
      if (answer.ok) setSecret(answer.data);
      else setProblem(answer.problem);
    });
  }, []);

  if (problem) return <Problem problem={problem} testId="totp-error" />;
  if (codes) return <RecoveryCodes codes={codes} done={done} />;
  if (!secret) return <p aria-busy="true">{TEXTS.loading}</p>;
  return (
    <div class="totp">
      <p class="about">{T.totpScan}</p>
      <Qr text={secret.uri} />
      <p class="about">
        {T.totpKey}{" "}
        <code data-testid="totp-secret">{secret.secret.replace(/.{4}(?=.)/g, "$& ")}</code>
      </p>
      <Form
        id="totp"
        label={T.totpSubmit}
        fields={[
          {
            name: "code",
            label: LABELS.code,
            inputMode: "numeric",
            required: true,
            ...PLAIN,
            autocomplete: "one-time-code",
          },
        ]}
        send={async ({ code }) =>
          wrongAt(
            await call<{ recoveryCodes: string[] }>("POST", "/auth/factors/totp/confirm", {
              json: { ...json, code: code?.replace(/\s/g, "") },
            }),
            "code",
            T.totpWrong,
          )
        }
        done={({ recoveryCodes }) => setCodes(recoveryCodes)}
      />
    </div>
  );
}

/** Draws a QR code. Its library is loaded only here. */
function Qr({ text }: { text: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    import("lean-qr").then(({ generate }) => {
      if (canvas.current)
        generate(text).toCanvas(canvas.current, {
          on: [0, 0, 0, 255],
          off: [255, 255, 255, 255],
          pad: 4,
        });
    });
  }, [text]);
  return <canvas class="qr" ref={canvas} role="img" aria-label={T.totpQr} data-testid="totp-qr" />;
}
