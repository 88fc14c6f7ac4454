import { useState } from "preact/hooks";
import { Act } from "../act.jsx";
import { callSignedIn } from "../api.js";
import { Form } from "../form.jsx";
import { keyKeeper } from "../idempotent.js";
import { inviteLink } from "../invite-link.js";
import { Badge, When } from "../ui.jsx";
import { List, Row, useList } from "./list.jsx";
import { Made } from "./made.jsx";

export function Invites({ me }) {
  const list = useList("/api/invites");
  const [made, setMade] = useState();
  const [keys] = useState(keyKeeper);

  const make = async (json) => {
    const answer = await callSignedIn("POST", "/api/invites", {
      json,
      key: keys.keyOf(JSON.stringify(json)),
    });
    if (answer.status !== 0) keys.answered();
    if (answer.problem?.code === "idempotency_outcome_unknown") list.reload();
    return answer;
  };
  const onCreated = ({ token, ...invite }) => {
    setMade({ id: invite.id, link: inviteLink(token), whom: whomOf(invite) });
    list.put(invite);
  };
  // Hides the link of an invite that can no longer be used.
  const hideLink = (id) => setMade((shown) => (shown?.id === id ? undefined : shown));
  const change = (invite, status) =>
    list.change(callSignedIn("PATCH", pathOf(invite), { json: { status } }), (put) => {
      if (put.status !== "unused") hideLink(put.id);
      return { put, message: `The invite for ${whomOf(put)} is now ${put.status}.` };
    });
  const remove = (invite) =>
    list.change(callSignedIn("DELETE", pathOf(invite)), () => {
      hideLink(invite.id);
      return { drop: invite.id, message: `Deleted: the invite for ${whomOf(invite)}.` };
    });

  return (
    <>
      <p class="about">An invite creates one account, for the first person who uses its link.</p>
      <Form id="invite-new" label="Create an invite" fields={FIELDS} send={make} done={onCreated} />
      {made && (
        <Made
          key={made.id}
          name="invite"
          what="link"
          label={`The link for ${made.whom}.`}
          value={made.link}
          onDone={() => setMade(undefined)}
        />
      )}
      <List
        name="invites"
        list={list}
        empty="There are no invites."
        row={(invite) => (
          <Row
            key={invite.id}
            id={invite.id}
            testId="invite"
            about={<About invite={invite} me={me} />}
          >
            <Acts invite={invite} change={change} remove={remove} />
          </Row>
        )}
      />
    </>
  );
}

function About({ invite, me }) {
  const { email, role, status, createdAt, createdBy, expiresAt, usedBy } = invite;
  const byMe = createdBy === me.userId;
  return (
    <>
      <strong data-testid="invite-email">{email ?? "Anyone"}</strong>{" "}
      <Badge tone={role === "admin" ? "good" : undefined} testId="invite-role">
        {role}
      </Badge>{" "}
      <Badge tone={TONES[status]} testId="invite-status">
        {status}
      </Badge>
      <small>
        created <When at={createdAt} /> by {byMe ? "you" : <code>{createdBy}</code>}
        {expiresAt && (
          <>
            {" "}
            · expires <When at={expiresAt} />
          </>
        )}
        {usedBy && (
          <>
            {" "}
            · used by <code>{usedBy}</code>
          </>
        )}
      </small>
    </>
  );
}

/** An invite that was used, was revoked or has expired can only be deleted. */
function Acts({ invite, change, remove }) {
  const { status } = invite;
  const whom = whomOf(invite);
  return (
    <>
      {status === "unused" && (
        <Act
          key="status"
          label="Disable"
          about={whom}
          testId="invite-disable"
          act={() => change(invite, "disabled")}
        />
      )}
      {status === "disabled" && (
        <Act
          key="status"
          label="Enable"
          about={whom}
          testId="invite-enable"
          act={() => change(invite, "unused")}
        />
      )}
      {["unused", "disabled"].includes(status) && (
        <Act
          label="Revoke"
          about={whom}
          testId="invite-revoke"
          question={`Revoke the invite for ${whom} for good?`}
          act={() => change(invite, "revoked")}
        />
      )}
      <Act
        label="Delete"
        about={whom}
        testId="invite-delete"
        question={`Delete the invite for ${whom}?`}
        act={() => remove(invite)}
      />
    </>
  );
}

function whomOf({ email }) {
  return email ?? "anyone";
}

function pathOf({ id }) {
  return `/api/invites/${encodeURIComponent(id)}`;
}

const FIELDS = [
  {
    name: "email",
    label: "E-mail (optional)",
    type: "email",
    autocomplete: "off",
    hint: "If empty, anyone may use the invite",
  },
  {
    name: "role",
    label: "Role",
    options: [
      ["user", "User"],
      ["admin", "Admin"],
    ],
  },
  {
    name: "expiresIn",
    as: "expires",
    label: "Expires in",
    options: [
      ["24h", "1 day"],
      ["7d", "7 days"],
      ["30d", "30 days"],
      ["", "Never"],
    ],
  },
];

const TONES = { unused: "good", revoked: "bad", disabled: "bad", expired: "bad" };
