import { useState } from "preact/hooks";
import type { PartProps } from "../pages/account.tsx";
import { ACCOUNT } from "../texts/account.ts";
import { Badge, When } from "../ui/show.tsx";
import { List, Row, useList } from "./list.tsx";
import { Made } from "./made.tsx";
import { type User, UserActs } from "./user-acts.tsx";
import { queryOf, UserFilter, useFilter } from "./user-filter.tsx";

const { users: T } = ACCOUNT;

export function Users({ me, settings, refresh }: PartProps) {
  const [filter, setFilter] = useFilter();
  const query = queryOf(filter);
  const list = useList<User>(`/users${query && `?${query}`}`);
  const [made, setMade] = useState<{ email: string; url: string }>();

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
              <UserActs
                {...{ user, me, settings, refresh }}
                change={list.change}
                onLink={setMade}
              />
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
