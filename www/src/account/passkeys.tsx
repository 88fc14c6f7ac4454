/** The passkeys of the account page, and adding one. */

import { useState } from "preact/hooks";
import { type Answer, call } from "../api.ts";
import { makePasskey } from "../passkeys.ts";
import { ACCOUNT } from "../texts/account.ts";
import { Act } from "../ui/act.tsx";
import { Form } from "../ui/form.tsx";
import { When } from "../ui/show.tsx";
import { callSignedIn } from "./list.tsx";
import { RecoveryCodes } from "./recovery.tsx";

const { security: T } = ACCOUNT;

export interface Passkey {
  id: string;
  name: string;
  createdAt: string;
  lastUsedAt: string | null;
}

interface PasskeysProps {
  passkeys: Passkey[];
  change: (request: Promise<Answer<unknown>>, said: string) => Promise<void>;
}

export function Passkeys({ passkeys, change }: PasskeysProps) {
  return (
    <article>
      <h3>{T.passkeysHeading}</h3>
      <p class="about">{T.passkeysAbout}</p>
      {passkeys.length === 0 && (
        <p class="empty" data-testid="passkeys-empty">
          {T.passkeysEmpty}
        </p>
      )}
      <ul class="rows" data-testid="passkeys">
        {passkeys.map(({ id, name, createdAt, lastUsedAt }) => (
          <li key={id} data-testid="passkey">
            <div class="description">
              <strong>{name}</strong>
              <small>
                {ACCOUNT.tokens.created} <When at={createdAt} /> ·{" "}
                {lastUsedAt ? (
                  <>
                    {ACCOUNT.tokens.lastUsed} <When at={lastUsedAt} />
                  </>
                ) : (
                  ACCOUNT.tokens.neverUsed
                )}
              </small>
            </div>
            <div class="actions">
              <Act
                label={T.passkeyRemove}
                about={name}
                testId="passkey-remove"
                tone="danger"
                question={T.passkeyRemoveQuestion(name)}
                act={() =>
                  change(
                    callSignedIn("DELETE", `/auth/factors/passkeys/${encodeURIComponent(id)}`),
                    T.passkeyRemoved(name),
                  )
                }
              />
            </div>
          </li>
        ))}
      </ul>
      <AddPasskey
        key={passkeys.length}
        done={() => change(Promise.resolve({ ok: true, status: 204, data: {} }), T.passkeyAdded)}
      />
    </article>
  );
}

/** Adds a passkey: to the account, or with a ticket as the first factor. With a first factor, shows recovery codes. */
export function AddPasskey({ ticket, done }: { ticket?: string; done: () => void }) {
  const [codes, setCodes] = useState<string[]>();
  const send = ticket ? call : callSignedIn;
  const json = ticket ? { ticket } : {};
  if (codes) return <RecoveryCodes codes={codes} done={done} />;
  return (
    <Form
      id="passkey"
      label={T.passkeyAdd}
      fields={[{ name: "name", label: T.passkeyName, hint: T.passkeyNameHint, required: true }]}
      send={async ({ name }): Promise<Answer<{ recoveryCodes?: string[] }>> => {
        const made = await makePasskey(json, {
          title: T.passkeyFailed,
          detail: T.passkeyFailedDetail,
        });
        if (!made.ok) return made;
        return send("POST", "/auth/passkeys", { json: { ...json, ...made.data, name } });
      }}
      done={({ recoveryCodes }) => (recoveryCodes ? setCodes(recoveryCodes) : done())}
    />
  );
}
