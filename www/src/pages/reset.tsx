import { useState } from "preact/hooks";
import { call } from "../api.ts";
import type { Settings } from "../settings.ts";
import { type PageProps, start } from "../start.tsx";
import { TEXTS } from "../texts/common.ts";
import { SIGNING_IN } from "../texts/signing-in.ts";
import { EMAIL, type Field, Form, newPassword, PLAIN, wrongAt } from "../ui/form.tsx";
import { Narrow } from "../ui/narrow.tsx";
import { useHash } from "../ui/show.tsx";

const { reset: T } = SIGNING_IN;
const { fields: LABELS } = TEXTS;

/** `reset` asks for a link, `reset#TOKEN` is that link, and `reset#recover` is for the last admin. */
function Reset(props: PageProps) {
  const fragment = useHash()
    .slice(1)
    .replace(/^(token|reset)=/, "");
  if (fragment === "recover") return <Recover {...props} />;
  return fragment ? <Choose key={fragment} token={fragment} {...props} /> : <Ask {...props} />;
}

function Ask({ settings }: PageProps) {
  const [sentTo, setSentTo] = useState<string>();
  if (sentTo) {
    return (
      <Narrow settings={settings} title={T.sent}>
        <p class="about" role="status" data-testid="reset-sent">
          {T.sentDetail(sentTo)}
        </p>
        <button type="button" class="plain" onClick={() => setSentTo(undefined)}>
          {T.again}
        </button>
        <ToSignIn />
      </Narrow>
    );
  }
  return (
    <Narrow settings={settings} title={T.heading}>
      {settings.mailer ? (
        <>
          <p class="about">{T.about}</p>
          <Form
            id="reset"
            label={T.submit}
            fields={[EMAIL]}
            send={(json) => call("POST", "/auth/reset", { json })}
            done={(_, { email }) => setSentTo(email)}
            focus
          />
        </>
      ) : (
        <p class="about" data-testid="reset-ask-admin">
          {T.askAdmin}
        </p>
      )}
      <p class="links">
        {T.recover} <a href="#recover">{T.recoverLink}</a>
      </p>
      <ToSignIn />
    </Narrow>
  );
}

function Choose({ settings, token }: PageProps & { token: string }) {
  const [isDone, setDone] = useState(false);
  if (isDone) return <Changed settings={settings} />;
  return (
    <Narrow settings={settings} title={T.chooseHeading}>
      <p class="about">{T.chooseAbout}</p>
      <Form
        id="choose"
        label={T.choose}
        fields={[newField(settings)]}
        send={({ newPassword, revokeTokens }) =>
          call("POST", "/auth/reset/redeem", {
            json: { token, newPassword, revokeTokens: revokeTokens === "on" },
          })
        }
        done={() => setDone(true)}
        focus
      >
        <label class="check">
          <input type="checkbox" name="revokeTokens" /> {T.revokeTokens}
        </label>
      </Form>
    </Narrow>
  );
}

function Recover({ settings }: PageProps) {
  const [isDone, setDone] = useState(false);
  if (isDone) return <Changed settings={settings} />;
  return (
    <Narrow settings={settings} title={T.recoverHeading}>
      <p class="about">{T.recoverAbout}</p>
      <Form
        id="recover"
        label={T.choose}
        fields={[SETUP_TOKEN, EMAIL, newField(settings)]}
        send={async (json) =>
          wrongAt(
            await call("POST", "/auth/recover", { json }),
            "setupToken",
            SIGNING_IN.setup.wrongToken,
          )
        }
        done={() => setDone(true)}
        focus
      />
      <ToSignIn />
    </Narrow>
  );
}

function Changed({ settings }: PageProps) {
  return (
    <Narrow settings={settings} title={T.changed}>
      <p class="about" role="status" data-testid="reset-changed">
        {T.changedDetail}
      </p>
      <ToSignIn />
    </Narrow>
  );
}

function ToSignIn() {
  return (
    <p class="links">
      <a href={`sign-in${location.search}`} data-testid="login-link">
        {T.toSignIn}
      </a>
    </p>
  );
}

const newField = (settings: Settings): Field => ({
  ...newPassword(settings),
  name: "newPassword",
  as: "password",
  label: LABELS.newPassword,
});

const SETUP_TOKEN: Field = {
  name: "setupToken",
  as: "token",
  label: LABELS.setupToken,
  hint: LABELS.setupTokenHint,
  required: true,
  ...PLAIN,
};

start(Reset);
