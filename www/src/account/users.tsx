import { useState } from "preact/hooks";
import type { PartProps } from "../pages/account.tsx";
import { TEXTS } from "../texts.ts";
import { Act } from "../ui/act.tsx";
import { Badge, When } from "../ui/show.tsx";
import { callSignedIn, List, Row, useList } from "./list.tsx";
import { Made } from "./made.tsx";
import { queryOf, UserFilter, useFilter } from "./user-filter.tsx";

const { users: T } = TEXTS;

interface User {
  id: string;
  email: string;
  name: string | null;
  role: "admin" | "user";
  status: "active" | "disabled";
  createdAt: string;
}

export function Users({ me, settings, refresh }: PartProps) {
  const [filter, setFilter] = useFilter();
  const query = queryOf(filter);
  const list = useList<User>(`/users${query && `?${query}`}`);
  const [made, setMade] = useState<{ email: string; url: string }>();

  const change = async (user: User, json: Partial<User>, message: string) => {
    await list.change(callSignedIn<User>("PATCH", pathOf(user), { json }), (put) => ({
      put,
      message,
    }));
    if (user.id === me.userId) refresh();
  };
  const remove = async (user: User) => {
    const then = () => ({ drop: user.id, message: T.removed(user.email) });
    await list.change(callSignedIn("DELETE", pathOf(user)), then);
    if (user.id === me.userId) refresh();
  };
  const makeLink = (user: User) =>
    list.change(callSignedIn<{ url: string }>("POST", `${pathOf(user)}/reset`), ({ url }) => {
      setMade({ email: user.email, url });
      return { message: "" };
    });
  const signOut = (user: User) =>
    list.change(callSignedIn("DELETE", `/sessions?user=${encodeURIComponent(user.id)}`), () => ({
      message: T.signedOut(user.email),
    }));
  const removeFactors = (user: User) =>
    list.change(callSignedIn("DELETE", `${pathOf(user)}/factors`), () => ({
      message: T.factorsRemoved(user.email),
    }));

  return (
    <>
      <p class="about">{T.about}</p>
      {made && (
        <Made
          key={made.url}
          name="reset"
          what="link"
          label={T.resetMade(made.email)}
          value={made.url}
          onDone={() => setMade(undefined)}
        />
      )}
      <UserFilter filter={filter} onChange={setFilter} />
      <List
        name="users"
        list={list}
        empty={query ? T.noMatch : T.empty}
        row={(user) => {
          const isMe = user.id === me.userId;
          return (
            <Row key={user.id} id={user.id} testId="user" about={<About user={user} isMe={isMe} />}>
              {!isMe && user.status === "active" && (
                <Act
                  label={T.signOut}
                  about={user.email}
                  testId="user-sign-out"
                  question={T.signOutQuestion(user.email)}
                  act={() => signOut(user)}
                />
              )}
              {!isMe && settings.passwords && (
                <Act
                  label={T.resetLink}
                  about={user.email}
                  testId="user-reset"
                  act={() => makeLink(user)}
                />
              )}
              {!isMe && settings.secondFactor && (
                <Act
                  label={T.removeFactors}
                  about={user.email}
                  testId="user-remove-factors"
                  tone="danger"
                  question={T.removeFactorsQuestion(user.email)}
                  act={() => removeFactors(user)}
                />
              )}
              <Acts user={user} isMe={isMe} change={change} remove={remove} />
            </Row>
          );
        }}
      />
    </>
  );
}

function About({ user, isMe }: { user: User; isMe: boolean }) {
  const { email, name, role, status, createdAt } = user;
  return (
    <>
      <strong data-testid="user-email">{email}</strong>{" "}
      <Badge tone={role === "admin" ? "good" : undefined} testId="user-role">
        {T.roles[role]}
      </Badge>{" "}
      <Badge tone={status === "active" ? undefined : "bad"} testId="user-status">
        {T.statuses[status]}
      </Badge>{" "}
      {isMe && <Badge testId="user-me">{T.you}</Badge>}
      <small>
        {name && `${name} · `}
        {T.since} <When at={createdAt} />
      </small>
    </>
  );
}

interface ActsProps {
  user: User;
  isMe: boolean;
  change: (user: User, json: Partial<User>, message: string) => Promise<void>;
  remove: (user: User) => Promise<void>;
}

function Acts({ user, isMe, change, remove }: ActsProps) {
  const { email, role, status } = user;
  return (
    <>
      {role === "admin" ? (
        <Act
          key="role"
          label={T.makeUser}
          about={email}
          testId="user-make-user"
          question={isMe ? T.makeUserQuestion : undefined}
          act={() => change(user, { role: "user" }, T.nowUser(email))}
        />
      ) : (
        <Act
          key="role"
          label={T.makeAdmin}
          about={email}
          testId="user-make-admin"
          act={() => change(user, { role: "admin" }, T.nowAdmin(email))}
        />
      )}
      {status === "active" ? (
        <Act
          key="status"
          label={T.disable}
          about={email}
          testId="user-disable"
          question={isMe ? T.disableQuestion : undefined}
          act={() => change(user, { status: "disabled" }, T.disabled(email))}
        />
      ) : (
        <Act
          key="status"
          label={T.enable}
          about={email}
          testId="user-enable"
          act={() => change(user, { status: "active" }, T.enabled(email))}
        />
      )}
      <Act
        label={T.remove}
        about={email}
        testId="user-delete"
        tone="danger"
        question={isMe ? `${T.thisIsYou} ${T.removeQuestion(email)}` : T.removeQuestion(email)}
        act={() => remove(user)}
      />
    </>
  );
}

const pathOf = ({ id }: User) => `/users/${encodeURIComponent(id)}`;
