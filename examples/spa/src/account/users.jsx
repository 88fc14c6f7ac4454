import { Act } from "../act.jsx";
import { callSignedIn } from "../api.js";
import { Badge, When } from "../ui.jsx";
import { List, Row, useList } from "./list.jsx";

export function Users({ me, refresh }) {
  const list = useList("/api/users");

  const change = async (user, json, message) => {
    await list.change(callSignedIn("PATCH", pathOf(user), { json }), (put) => ({ put, message }));
    if (user.id === me.userId) refresh();
  };
  const remove = async (user) => {
    const then = () => ({ drop: user.id, message: `Deleted: ${user.email}.` });
    await list.change(callSignedIn("DELETE", pathOf(user)), then);
    if (user.id === me.userId) refresh();
  };

  return (
    <>
      <p class="about">All accounts. A user who is disabled or deleted is signed out at once.</p>
      <List
        name="users"
        list={list}
        empty="There are no users."
        row={(user) => (
          <Row
            key={user.id}
            id={user.id}
            testId="user"
            about={<About user={user} isMe={user.id === me.userId} />}
          >
            <Acts user={user} isMe={user.id === me.userId} change={change} remove={remove} />
          </Row>
        )}
      />
    </>
  );
}

function About({ user: { email, name, role, status, createdAt }, isMe }) {
  return (
    <>
      <strong data-testid="user-email">{email}</strong>{" "}
      <Badge tone={role === "admin" ? "good" : undefined} testId="user-role">
        {role}
      </Badge>{" "}
      <Badge tone={status === "active" ? undefined : "bad"} testId="user-status">
        {status}
      </Badge>{" "}
      {isMe && <Badge testId="user-me">you</Badge>}
      <small>
        {name && `${name} · `}since <When at={createdAt} />
      </small>
    </>
  );
}

function Acts({ user, isMe, change, remove }) {
  const { email, role, status } = user;
  const warnIfMe = (text) => (isMe ? `This is you. ${text}` : undefined);
  return (
    <>
      {role === "admin" ? (
        <Act
          key="role"
          label="Make user"
          about={email}
          testId="user-make-user"
          question={warnIfMe("You would no longer see users and invites.")}
          act={() => change(user, { role: "user" }, `No longer an admin: ${email}.`)}
        />
      ) : (
        <Act
          key="role"
          label="Make admin"
          about={email}
          testId="user-make-admin"
          act={() => change(user, { role: "admin" }, `Now an admin: ${email}.`)}
        />
      )}
      {status === "active" ? (
        <Act
          key="status"
          label="Disable"
          about={email}
          testId="user-disable"
          question={warnIfMe("You would be signed out, and could not sign in again.")}
          act={() => change(user, { status: "disabled" }, `Disabled: ${email}.`)}
        />
      ) : (
        <Act
          key="status"
          label="Enable"
          about={email}
          testId="user-enable"
          act={() => change(user, { status: "active" }, `Enabled: ${email}.`)}
        />
      )}
      <Act
        label="Delete"
        about={email}
        testId="user-delete"
        question={`${isMe ? "This is you. " : ""}Delete ${email} for good?`}
        act={() => remove(user)}
      />
    </>
  );
}

function pathOf({ id }) {
  return `/api/users/${encodeURIComponent(id)}`;
}
