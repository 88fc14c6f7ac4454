import { useState } from "preact/hooks";
import { callSignedIn } from "../../account/list.tsx";
import { Made } from "../../account/made.tsx";
import { browserOf, type Session } from "../../account/sessions.tsx";
import type { Token } from "../../account/tokens.tsx";
import { type User, UserActs } from "../../account/user-acts.tsx";
import { ACCOUNT } from "../../texts/account.ts";
import { TEXTS } from "../../texts/common.ts";
import { CONSOLE } from "../../texts/console.ts";
import { Act } from "../../ui/act.tsx";
import { Facts } from "../../ui/show.tsx";
import type { ScreenProps } from "../app.tsx";
import { ChangeProblem, type Changes, useChanges } from "../changes.tsx";
import { pathWith, usePages, useResource } from "../data.ts";
import { Detail, Split } from "../detail.tsx";
import { ChoiceFilter, Filters, TextFilter } from "../filter.tsx";
import { Ago, Chip, Empty, FailedToLoad, Id, say } from "../parts.tsx";
import { screenHref, usePlace } from "../place.ts";
import { type Column, Table } from "../table.tsx";

const { users: T } = ACCOUNT;
const { users: C } = CONSOLE;

export function Users(props: ScreenProps) {
  const place = usePlace();
  const filter = { q: place.get("q"), role: place.get("role"), status: place.get("status") };
  const list = usePages<User>(pathWith("/users", filter));
  const changes = useChanges(list);
  const id = place.get("id");
  const isFiltered = Object.values(filter).some(Boolean);
  return (
    <Split
      list={
        <>
          <Filters names={["q", "role", "status"]}>
            <TextFilter name="q" label={T.search} placeholder={C.search} main />
            <ChoiceFilter name="role" label={T.role} options={Object.entries(T.roles)} />
            <ChoiceFilter name="status" label={T.status} options={Object.entries(T.statuses)} />
          </Filters>
          <Table
            label={ACCOUNT.account.sections.users}
            list={list}
            columns={COLUMNS}
            opens
            empty={
              isFiltered ? (
                <Empty title={T.noMatch}>{C.noMatch}</Empty>
              ) : (
                <Empty title={T.empty}>{C.empty}</Empty>
              )
            }
          />
        </>
      }
      detail={id && <UserDetail key={id} id={id} list={list.items} changes={changes} {...props} />}
    />
  );
}

const COLUMNS: Column<User>[] = [
  {
    title: C.user,
    cell: ({ email, name }) => (
      <>
        <strong>{email}</strong>
        {name && <span class="soft"> {name}</span>}
      </>
    ),
  },
  {
    title: T.role,
    cell: ({ role }) => <Chip tone={role === "admin" ? "info" : undefined}>{T.roles[role]}</Chip>,
  },
  {
    title: T.status,
    cell: ({ status }) => (
      <Chip tone={status === "active" ? "good" : "bad"}>{T.statuses[status]}</Chip>
    ),
  },
  { title: C.since, cell: ({ createdAt }) => <Ago at={createdAt} />, wide: true },
  { title: C.id, cell: ({ id }) => <Id value={id} short />, wide: true },
];

interface DetailProps extends ScreenProps {
  id: string;
  list: User[] | undefined;
  changes: Changes<User>;
}

function UserDetail({ id, list, changes, me, settings, refresh }: DetailProps) {
  const listed = list?.find((user) => user.id === id);
  // The link may be about a user who is on another page.
  const alone = useResource<User>(list && !listed ? `/users/${encodeURIComponent(id)}` : undefined);
  const [made, setMade] = useState<{ email: string; url: string }>();
  const user = listed ?? alone.data;
  const change: Changes<User>["change"] = (request, then) =>
    changes.change(request, (data) => {
      const changed = then(data);
      if (changed.put) alone.set(() => changed.put as User);
      return changed;
    });
  return (
    <Detail title={user?.email ?? id}>
      {alone.failed && <FailedToLoad failed={alone.failed} reload={alone.reload} />}
      {!user && !alone.failed && <p aria-busy="true">{TEXTS.loading}</p>}
      {user && (
        <>
          <Facts
            rows={[
              { term: C.id, value: <Id value={user.id} /> },
              { term: C.name, value: user.name },
              { term: T.role, value: T.roles[user.role] },
              { term: T.status, value: T.statuses[user.status] },
              { term: C.since, value: <Ago at={user.createdAt} /> },
            ]}
          />
          <ChangeProblem problem={changes.problem} />
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
          <div class="actions" data-testid="user-acts">
            <UserActs {...{ user, me, settings, refresh, change }} onLink={setMade} />
          </div>
          <UserSessions user={user} />
          {settings.tokens.kinds.length > 0 && <UserTokens user={user} />}
          {settings.features?.includes("audit") && (
            <p class="links">
              <a href={screenHref("audit", { principal: user.id })}>{C.inAudit}</a>
            </p>
          )}
        </>
      )}
    </Detail>
  );
}

function UserSessions({ user }: { user: User }) {
  const owner = encodeURIComponent(user.id);
  const { data, failed, reload, set } = useResource<{ items: Session[] }>(
    `/sessions?user=${owner}`,
  );
  const end = async (session: Session) => {
    const path = `/sessions/${encodeURIComponent(session.id)}?user=${owner}`;
    const answer = await callSignedIn("DELETE", path);
    if (!answer.ok) return say(answer.problem.title);
    set(({ items }) => ({ items: items.filter(({ id }) => id !== session.id) }));
    say(ACCOUNT.sessions.signedOut(browserOf(session)));
  };
  return (
    <section>
      <h3>
        {C.sessions} {data && <span class="soft">{data.items.length}</span>}
      </h3>
      {failed && <FailedToLoad failed={failed} reload={reload} />}
      {!data && !failed && <p aria-busy="true">{TEXTS.loading}</p>}
      {data?.items.length === 0 && <p class="soft">{C.noSessions}</p>}
      <ul class="lines" data-testid="user-sessions">
        {data?.items.map((session) => (
          <li key={session.id}>
            <div>
              <strong title={session.userAgent ?? undefined}>{browserOf(session)}</strong>{" "}
              {session.current && <Chip tone="good">{ACCOUNT.sessions.current}</Chip>}
              <small>
                {[session.place, session.address].filter(Boolean).join(" · ")}{" "}
                {ACCOUNT.sessions.lastSeen} <Ago at={session.lastSeenAt} /> ·{" "}
                <Id value={session.id} short />
              </small>
            </div>
            {!session.current && (
              <Act
                label={ACCOUNT.sessions.signOut}
                about={browserOf(session)}
                testId="session-end"
                tone="danger"
                question={C.endQuestion(browserOf(session), user.email)}
                act={() => end(session)}
              />
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The list of tokens is that of all users, so those of one user are searched in it. */
function UserTokens({ user }: { user: User }) {
  const { data, failed, reload, set } = useResource<{ items: Token[]; next: string | null }>(
    "/agent-tokens?limit=100",
  );
  const tokens = data?.items.filter(({ owner }) => owner === user.id);
  const revoke = async (token: Token) => {
    const answer = await callSignedIn("DELETE", `/agent-tokens/${encodeURIComponent(token.id)}`);
    if (!answer.ok) return say(answer.problem.title);
    set((old) => ({ ...old, items: old.items.filter(({ id }) => id !== token.id) }));
    say(ACCOUNT.tokens.revoked(token.name));
  };
  return (
    <section>
      <h3>
        {C.tokens} {tokens && <span class="soft">{tokens.length}</span>}
      </h3>
      {failed && <FailedToLoad failed={failed} reload={reload} />}
      {!data && !failed && <p aria-busy="true">{TEXTS.loading}</p>}
      {tokens?.length === 0 && <p class="soft">{C.noTokens}</p>}
      <ul class="lines" data-testid="user-tokens">
        {tokens?.map((token) => (
          <li key={token.id}>
            <div>
              <strong>{token.name}</strong> <Chip>{token.prefix}</Chip>
              <small>
                {token.lastUsedAt ? (
                  <>
                    {ACCOUNT.tokens.lastUsed} <Ago at={token.lastUsedAt} />
                  </>
                ) : (
                  ACCOUNT.tokens.neverUsed
                )}{" "}
                · <Id value={token.id} short />
              </small>
            </div>
            <Act
              label={ACCOUNT.tokens.revoke}
              about={token.name}
              testId="token-revoke"
              tone="danger"
              question={ACCOUNT.tokens.revokeQuestion(token.name)}
              act={() => revoke(token)}
            />
          </li>
        ))}
      </ul>
      {data?.next && (
        <p class="links">
          <a href={screenHref("tokens", { owner: user.id })}>{C.moreTokens}</a>
        </p>
      )}
    </section>
  );
}
