import { useState } from "preact/hooks";
import { Act } from "../act.jsx";
import { ask } from "../api.js";
import { Form } from "../form.jsx";
import { keeper } from "../idempotent.js";
import { inviteLink } from "../invite-link.js";
import { Badge, When } from "../ui.jsx";
import { List, Row, useList } from "./list.jsx";
import { Made } from "./made.jsx";

export function Invites({ me }) {
  const list = useList("/api/invites");
  const [made, setMade] = useState();
  const [act] = useState(keeper);

  const make = async (json) => {
    const answer = await ask("POST", "/api/invites", {
      json,
      key: act.keyOf(JSON.stringify(json)),
    });
    if (answer.status !== 0) act.answered();
    if (answer.problem?.code === "idempotency_outcome_unknown") list.reload();
    return answer;
  };
  const making = ({ token, ...invite }) => {
    setMade({ id: invite.id, link: inviteLink(token), whom: whomOf(invite) });
    list.put(invite);
  };
  // A link that leads nowhere is not to be copied.
  const forget = (id) => setMade((shown) => (shown?.id === id ? undefined : shown));
  const change = (invite, status) =>
    list.change(ask("PATCH", pathOf(invite), { json: { status } }), (put) => {
      if (put.status !== "unused") forget(put.id);
      return { put, said: `The invite for ${whomOf(put)} is ${put.status} now.` };
    });
  const remove = (invite) =>
    list.change(ask("DELETE", pathOf(invite)), () => {
      forget(invite.id);
      return { drop: invite.id, said: `Deleted: the invite for ${whomOf(invite)}.` };
    });

  return (
    <>
      <p class="about">Each makes one account, for whoever is first to use its link.</p>
      <Form id="invite-new" label="Make an invite" fields={FIELDS} send={make} done={making} />
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
      <strong data-testid="invite-email">{email ?? "Anybody"}</strong>{" "}
      <Badge tone={role === "admin" ? "good" : undefined} testId="invite-role">
        {role}
      </Badge>{" "}
      <Badge tone={TONES[status]} testId="invite-status">
        {status}
      </Badge>
      <small>
        made <When at={createdAt} /> by {byMe ? "you" : <code>{createdBy}</code>}
        {expiresAt && (
          <>
            {" "}
            · until <When at={expiresAt} />
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

/** What was used or revoked is history: it can only be deleted. */
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
  return email ?? "anybody";
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
    hint: "Without one, anybody may use it",
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
    label: "Holds for",
    options: [
      ["24h", "A day"],
      ["7d", "A week"],
      ["30d", "A month"],
      ["", "As long as it is unused"],
    ],
  },
];

const TONES = { unused: "good", revoked: "bad", disabled: "bad", expired: "bad" };
