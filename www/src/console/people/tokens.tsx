import { callSignedIn } from "../../account/list.tsx";
import { scopeOf, type Token } from "../../account/tokens.tsx";
import { ACCOUNT } from "../../texts/account.ts";
import { CONSOLE } from "../../texts/console.ts";
import { Act } from "../../ui/act.tsx";
import { Facts } from "../../ui/show.tsx";
import type { ScreenProps } from "../app.tsx";
import { ChangeProblem, type Changes, useChanges } from "../changes.tsx";
import { usePages } from "../data.ts";
import { Detail, Split } from "../detail.tsx";
import { Filters, TextFilter } from "../filter.tsx";
import { Ago, Chip, Empty, Id } from "../parts.tsx";
import { screenHref, usePlace } from "../place.ts";
import { type Column, Table } from "../table.tsx";

const { tokens: T } = ACCOUNT;
const { tokens: C } = CONSOLE;

export function Tokens({ me }: ScreenProps) {
  const place = usePlace();
  const [words, owner] = [place.get("q").toLowerCase(), place.get("owner")];
  const list = usePages<Token>("/agent-tokens", 100);
  const changes = useChanges(list);
  const matches = ({ name, prefix, agentId, taskId, ...token }: Token) =>
    (!owner || token.owner === owner) &&
    [name, prefix, token.id, token.owner, agentId, taskId].some((text) =>
      text?.toLowerCase().includes(words),
    );
  const shown = { ...list, items: list.items?.filter(matches) };
  const token = list.items?.find(({ id }) => id === place.get("id"));
  return (
    <Split
      list={
        <>
          <Filters names={["q", "owner"]}>
            <TextFilter name="q" label={C.search} main />
            <TextFilter name="owner" label={C.owner} />
          </Filters>
          <Table
            label={ACCOUNT.account.sections.tokens}
            list={shown}
            columns={COLUMNS}
            opens
            empty={
              words || owner ? (
                <Empty title={C.noMatch}>{C.noMatchHere}</Empty>
              ) : (
                <Empty title={C.empty}>
                  {C.emptyHow} <a href="account#tokens">{C.create}</a>
                </Empty>
              )
            }
          />
        </>
      }
      detail={
        token && (
          <TokenDetail
            key={token.id}
            token={token}
            isMine={token.owner === me.userId}
            changes={changes}
          />
        )
      }
    />
  );
}

const COLUMNS: Column<Token>[] = [
  {
    title: T.name,
    cell: ({ name, prefix }) => (
      <>
        <strong>{name}</strong> <Chip>{prefix}</Chip>
      </>
    ),
  },
  { title: C.owner, cell: ({ owner }) => <Id value={owner} short />, wide: true },
  {
    title: C.lastUsed,
    cell: ({ lastUsedAt }) => (lastUsedAt ? <Ago at={lastUsedAt} /> : C.never),
  },
  {
    title: C.expires,
    cell: ({ expiresAt }) => (expiresAt ? <Ago at={expiresAt} /> : C.never),
    wide: true,
  },
];

interface DetailProps {
  token: Token;
  isMine: boolean;
  changes: Changes<Token>;
}

function TokenDetail({ token, isMine, changes: { change, problem } }: DetailProps) {
  const path = `/agent-tokens/${encodeURIComponent(token.id)}`;
  const revoke = () =>
    change(callSignedIn("DELETE", path), () => ({
      drop: token.id,
      message: T.revoked(token.name),
    }));
  const takeOver = () =>
    change(callSignedIn<Token>("POST", `${path}/take-over`), (put) => ({
      put: { ...token, ...put },
      message: C.takenOver(token.name),
    }));
  return (
    <Detail title={token.name}>
      <Facts
        rows={[
          { term: C.id, value: <Id value={token.id} /> },
          { term: T.kind, value: <Chip>{token.prefix}</Chip> },
          { term: C.owner, value: <Id value={token.owner} /> },
          { term: C.agent, value: token.agentId && <Id value={token.agentId} /> },
          { term: C.task, value: token.taskId && <Id value={token.taskId} /> },
          { term: C.scope, value: scopeOf(token) || C.everything },
          { term: C.created, value: <Ago at={token.createdAt} /> },
          { term: C.lastUsed, value: token.lastUsedAt ? <Ago at={token.lastUsedAt} /> : C.never },
          { term: C.expires, value: token.expiresAt ? <Ago at={token.expiresAt} /> : C.never },
        ]}
      />
      <ChangeProblem problem={problem} />
      <div class="actions">
        {token.agentId && !isMine && (
          <Act
            label={C.takeOver}
            about={token.name}
            testId="token-take-over"
            question={C.takeOverQuestion(token.name)}
            act={takeOver}
          />
        )}
        <Act
          label={T.revoke}
          about={token.name}
          testId="token-revoke"
          tone="danger"
          question={T.revokeQuestion(token.name)}
          act={revoke}
        />
      </div>
      <p class="links">
        <a href={screenHref("users", { id: token.owner })}>{C.showOwner}</a>
      </p>
    </Detail>
  );
}
