import { useState } from "preact/hooks";
import { keyKeeper } from "../api.ts";
import type { PartProps } from "../pages/account.tsx";
import { ACCOUNT } from "../texts/account.ts";
import { Act } from "../ui/act.tsx";
import { type Field, Form, type Values } from "../ui/form.tsx";
import { Badge, When } from "../ui/show.tsx";
import { callSignedIn, List, type ListState, Row, useList } from "./list.tsx";
import { Made } from "./made.tsx";

const { invites: T, users: USERS } = ACCOUNT;

export interface Invite {
  id: string;
  email: string | null;
  role: "admin" | "user";
  status: string;
  createdAt: string;
  createdBy: string;
  expiresAt: string | null;
  usedBy: string | null;
}

export function Invites({ me }: PartProps) {
  const list = useList<Invite>("/invites");
  const { form, acts } = useInvites(list);
  return (
    <>
      <p class="about">{T.about}</p>
      {form}
      <List
        name="invites"
        list={list}
        empty={T.empty}
        row={(invite) => (
          <Row
            key={invite.id}
            id={invite.id}
            testId="invite"
            about={<About invite={invite} isMine={invite.createdBy === me.userId} />}
          >
            {acts(invite)}
          </Row>
        )}
      />
    </>
  );
}

/** Makes and changes invites of a list. Returns the form with the newest link, and the buttons of an invite. */
export function useInvites(list: Pick<ListState<Invite>, "change" | "put" | "reload">) {
  const [made, setMade] = useState<{ id: string; link: string; whom: string }>();
  const [keys] = useState(keyKeeper);

  const make = async (json: Values) => {
    const answer = await callSignedIn<Invite & { token: string }>("POST", "/invites", {
      json,
      key: keys.keyOf(json),
    });
    if (answer.status !== 0) keys.answered();
    if (!answer.ok && answer.problem.code === "idempotency_outcome_unknown") list.reload();
    return answer;
  };
  // Hides the link of an invite that can no longer be used.
  const hideLink = (id: string) => setMade((shown) => (shown?.id === id ? undefined : shown));
  const change = (invite: Invite, status: string) =>
    list.change(callSignedIn<Invite>("PATCH", pathOf(invite), { json: { status } }), (put) => {
      if (put.status !== "unused") hideLink(put.id);
      const now = (T.statuses[put.status] ?? put.status).toLowerCase();
      return { put, message: T.changed(whomOf(put), now) };
    });
  const remove = (invite: Invite) =>
    list.change(callSignedIn("DELETE", pathOf(invite)), () => {
      hideLink(invite.id);
      return { drop: invite.id, message: T.removed(whomOf(invite)) };
    });

  const form = (
    <>
      <Form
        id="invite-new"
        label={T.create}
        fields={FIELDS}
        send={make}
        done={({ token, ...invite }) => {
          setMade({ id: invite.id, link: linkOf(token), whom: whomOf(invite) });
          list.put(invite);
        }}
      />
      {made && (
        <Made
          key={made.id}
          name="invite"
          what="link"
          label={T.made(made.whom)}
          value={made.link}
          onDone={() => setMade(undefined)}
        />
      )}
    </>
  );
  const acts = (invite: Invite) => <Acts invite={invite} change={change} remove={remove} />;
  return { form, acts };
}

function About({ invite, isMine }: { invite: Invite; isMine: boolean }) {
  const { email, role, status, createdAt, createdBy, expiresAt, usedBy } = invite;
  return (
    <>
      <strong data-testid="invite-email">{email ?? T.anyoneTitle}</strong>{" "}
      <Badge tone={role === "admin" ? "good" : undefined} testId="invite-role">
        {USERS.roles[role]}
      </Badge>{" "}
      <Badge tone={TONES[status]} testId="invite-status">
        {T.statuses[status] ?? status}
      </Badge>
      <small>
        {T.created} <When at={createdAt} /> {T.by} {isMine ? T.you : <code>{createdBy}</code>}
        {expiresAt && (
          <>
            {" "}
            · {T.expires} <When at={expiresAt} />
          </>
        )}
        {usedBy && (
          <>
            {" "}
            · {T.usedBy} <code>{usedBy}</code>
          </>
        )}
      </small>
    </>
  );
}

interface ActsProps {
  invite: Invite;
  change: (invite: Invite, status: string) => Promise<void>;
  remove: (invite: Invite) => Promise<void>;
}

/** An invite that was used, was revoked or has expired can only be deleted. */
function Acts({ invite, change, remove }: ActsProps) {
  const { status } = invite;
  const whom = whomOf(invite);
  return (
    <>
      {status === "unused" && (
        <Act
          key="status"
          label={T.disable}
          about={whom}
          testId="invite-disable"
          act={() => change(invite, "disabled")}
        />
      )}
      {status === "disabled" && (
        <Act
          key="status"
          label={T.enable}
          about={whom}
          testId="invite-enable"
          act={() => change(invite, "unused")}
        />
      )}
      {["unused", "disabled"].includes(status) && (
        <Act
          label={T.revoke}
          about={whom}
          testId="invite-revoke"
          tone="danger"
          question={T.revokeQuestion(whom)}
          act={() => change(invite, "revoked")}
        />
      )}
      <Act
        label={T.remove}
        about={whom}
        testId="invite-delete"
        tone="danger"
        question={T.removeQuestion(whom)}
        act={() => remove(invite)}
      />
    </>
  );
}

/** The token is in the fragment, which browsers send neither to servers nor in `Referer`. */
const linkOf = (token: string) => new URL(`invite#${token}`, location.href).href;

const whomOf = ({ email }: Invite) => email ?? T.anyone;

const pathOf = ({ id }: Invite) => `/invites/${encodeURIComponent(id)}`;

const FIELDS: Field[] = [
  { name: "email", label: T.email, type: "email", autocomplete: "off", hint: T.emailHint },
  {
    name: "role",
    label: T.role,
    options: [
      ["user", USERS.roles.user ?? ""],
      ["admin", USERS.roles.admin ?? ""],
    ],
  },
  { name: "expiresIn", as: "expires", label: T.expiresIn, options: T.expiries },
];

export const TONES: Record<string, "good" | "bad"> = {
  unused: "good",
  revoked: "bad",
  disabled: "bad",
  expired: "bad",
};
