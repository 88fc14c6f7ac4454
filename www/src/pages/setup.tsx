import { type Answer, call } from "../api.ts";
import type { Settings } from "../settings.ts";
import { type PageProps, start } from "../start.tsx";
import { TEXTS } from "../texts/common.ts";
import { SIGNING_IN } from "../texts/signing-in.ts";
import { enterOrEnroll } from "../ticket.ts";
import {
  EMAIL,
  type Field,
  Form,
  NAME,
  newPassword,
  PLAIN,
  type Values,
  wrongAt,
} from "../ui/form.tsx";
import { Narrow } from "../ui/narrow.tsx";

const { setup: T } = SIGNING_IN;
const { fields: LABELS } = TEXTS;

function SetUp({ settings }: PageProps) {
  if (settings.setupOpen === false) {
    return (
      <Narrow settings={settings} title={T.closed}>
        <p class="about" data-testid="setup-closed">
          {T.closedDetail}
        </p>
        <ToSignIn />
      </Narrow>
    );
  }
  return (
    <Narrow settings={settings} title={T.heading}>
      <p class="about">{T.about}</p>
      <Form
        id="setup"
        label={T.submit}
        fields={fields(settings)}
        send={send}
        done={enterOrEnroll}
        leaves
        focus
      />
      <ToSignIn />
    </Narrow>
  );
}

function ToSignIn() {
  return (
    <p class="links">
      {T.toSignIn}{" "}
      <a href={`sign-in${location.search}${location.hash}`} data-testid="login-link">
        {SIGNING_IN.signIn.submit}
      </a>
    </p>
  );
}

async function send(json: Values): Promise<Answer<unknown>> {
  const answer = await call("POST", "/auth/setup", { json });
  if (answer.ok) return answer;
  const { problem } = answer;
  const isClosed = answer.status === 404 || problem.code === "unauthorized";
  if (isClosed) return { ...answer, problem: { title: T.closed, detail: T.closedDetail } };
  return wrongAt(answer, "setupToken", T.wrongToken);
}

const fields = (settings: Settings): Field[] => [
  {
    name: "setupToken",
    as: "token",
    label: LABELS.setupToken,
    hint: LABELS.setupTokenHint,
    required: true,
    ...PLAIN,
  },
  EMAIL,
  NAME,
  newPassword(settings),
];

start(SetUp);
