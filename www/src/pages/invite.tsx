import { useEffect, useState } from "preact/hooks";
import { call } from "../api.ts";
import type { Me } from "../me.ts";
import { siteName } from "../settings.ts";
import { type PageProps, start } from "../start.tsx";
import { SIGNING_IN } from "../texts/signing-in.ts";
import { enterOrEnroll } from "../ticket.ts";
import { Act } from "../ui/act.tsx";
import { EMAIL, Form, NAME, newPassword } from "../ui/form.tsx";
import { Narrow } from "../ui/narrow.tsx";
import { useHash } from "../ui/show.tsx";

const { invite: T } = SIGNING_IN;

/** The token is in the fragment, which browsers send neither to servers nor in `Referer`. */
function Invite({ settings }: PageProps) {
  const token = useHash().slice(1);
  const [email, setEmail] = useState<string>();
  useEffect(() => {
    call<Me>("GET", "/auth/me").then((me) => {
      if (me.ok) setEmail(me.data.user?.email);
    });
  }, []);
  const signOut = async () => {
    await call("POST", "/auth/logout");
    setEmail(undefined);
  };

  if (!token) {
    return (
      <Narrow settings={settings} title={T.missing}>
        <p class="about" data-testid="invite-missing">
          {T.missingDetail}
        </p>
      </Narrow>
    );
  }
  return (
    <Narrow settings={settings} title={T.heading(siteName(settings))}>
      {email ? (
        <>
          <p class="about">{T.signedIn(email)}</p>
          <Act label={T.signOut} tone="fill" testId="invite-sign-out" act={signOut} />
        </>
      ) : (
        <>
          <p class="about">{T.about}</p>
          <Form
            id="redeem"
            label={T.submit}
            fields={[EMAIL, NAME, newPassword(settings)]}
            concerns={{ email_mismatch: "email" }}
            send={(json) => call("POST", `/invites/${encodeURIComponent(token)}/redeem`, { json })}
            done={enterOrEnroll}
            leaves
            focus
          />
        </>
      )}
    </Narrow>
  );
}

start(Invite);
