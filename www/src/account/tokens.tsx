import { useState } from "preact/hooks";
import { keyKeeper } from "../api.ts";
import type { PartProps } from "../pages/account.tsx";
import type { TokenKind } from "../settings.ts";
import { ACCOUNT } from "../texts/account.ts";
import { Act } from "../ui/act.tsx";
import { type Field, Form, PLAIN, type Values } from "../ui/form.tsx";
import { Badge, When } from "../ui/show.tsx";
import { callSignedIn, List, Row, useList } from "./list.tsx";
import { Made } from "./made.tsx";

const { tokens: T } = ACCOUNT;

export interface Token {
  id: string;
  name: string;
  prefix: string;
  owner: string;
  agentId: string | null;
  taskId: string | null;
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
  scope?: Scope | null;
}

interface Scope {
  operations?: string[] | null;
  methods?: string[] | null;
  addresses?: string[] | null;
}

export function Tokens({ me, settings }: PartProps) {
  const list = useList<Token>("/agent-tokens");
  const [made, setMade] = useState<{ id: string; name: string; value: string }>();
  const [keys] = useState(keyKeeper);
  const isAdmin = me.role === "admin";
  const mayMake = isAdmin || settings.tokens.makers === "users";
  const kinds = settings.tokens.kinds.filter(({ kind }) => isAdmin || kind !== "agent");
  const [prefix, setPrefix] = useState(kinds[0]?.prefix);
  const chosen = kinds.find((kind) => kind.prefix === prefix);

  const fields: Field[] = [
    { name: "name", label: T.name, hint: T.nameHint, required: true, ...PLAIN },
    {
      name: "prefix",
      label: T.kind,
      options: kinds.map((kind) => [kind.prefix, `${nameOf(kind)} (${kind.prefix})`] as const),
      hint: chosen && aboutKind(chosen),
      onInput: ({ currentTarget }) => setPrefix(currentTarget.value),
    },
    ...(chosen?.machine ? MACHINE : []),
    { name: "expiresIn", as: "expires", label: T.expiresIn, options: T.expiries },
  ];
  const make = async (values: Values) => {
    const { operations, methods, addresses, ...rest } = values;
    const scope = Object.fromEntries(
      Object.entries({ operations, methods, addresses })
        .filter(([, text]) => text)
        .map(([name, text]) => [name, listOf(text)]),
    );
    const json = { ...rest, ...scope };
    const answer = await callSignedIn<Token & { plaintext: string }>("POST", "/agent-tokens", {
      json,
      key: keys.keyOf(json),
    });
    if (answer.status !== 0) keys.answered();
    if (!answer.ok && answer.problem.code === "idempotency_outcome_unknown") list.reload();
    return answer;
  };
  const remove = (token: Token) =>
    list.change(callSignedIn("DELETE", `/agent-tokens/${encodeURIComponent(token.id)}`), () => {
      // Hides the value of a revoked token.
      setMade((shown) => (shown?.id === token.id ? undefined : shown));
      return { drop: token.id, message: T.revoked(token.name) };
    });

  return (
    <>
      <p class="about">{T.about}</p>
      {mayMake && kinds.length > 0 && (
        <Form
          id="token-new"
          label={T.create}
          fields={fields}
          send={make}
          done={({ plaintext, ...token }) => {
            setPrefix(kinds[0]?.prefix);
            setMade({ id: token.id, name: token.name, value: plaintext });
            list.put(token);
          }}
        >
          <details>
            <summary>{T.limits}</summary>
            <Limit name="operations" label={T.operations} hint={T.operationsHint} />
            <Limit name="methods" label={T.methods} hint={T.methodsHint} />
            <Limit name="addresses" label={T.addresses} hint={T.addressesHint} />
          </details>
        </Form>
      )}
      {made && (
        <Made
          key={made.id}
          name="token"
          what="value"
          label={T.made(made.name)}
          value={made.value}
          onDone={() => setMade(undefined)}
        />
      )}
      <List
        name="tokens"
        list={list}
        empty={T.empty}
        row={(token) => (
          <Row
            key={token.id}
            id={token.id}
            testId="token"
            about={<About token={token} isMine={token.owner === me.userId} />}
          >
            <Act
              label={T.revoke}
              about={token.name}
              testId="token-revoke"
              tone="danger"
              question={T.revokeQuestion(token.name)}
              act={() => remove(token)}
            />
          </Row>
        )}
      />
    </>
  );
}

function Limit({ name, label, hint }: { name: string; label: string; hint: string }) {
  const id = `token-new-${name}`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input id={id} name={name} data-testid={id} aria-describedby={`${id}-hint`} {...PLAIN} />
      <small id={`${id}-hint`}>{hint}</small>
    </div>
  );
}

function About({ token, isMine }: { token: Token; isMine: boolean }) {
  const { id, name, prefix, owner, agentId, taskId, createdAt, expiresAt, lastUsedAt } = token;
  const limits = scopeOf(token);
  return (
    <>
      <strong data-testid="token-name">{name}</strong> <Badge testId="token-prefix">{prefix}</Badge>
      <small>
        <code>{id}</code>
        <Named term={T.agentIs} value={agentId} />
        <Named term={T.taskIs} value={taskId} />
        <Named term={T.ownerIs} value={isMine ? null : owner} />
      </small>
      {limits && <small data-testid="token-scope">{T.scope(limits)}</small>}
      <small>
        {T.created} <When at={createdAt} /> ·{" "}
        {expiresAt ? (
          <>
            {T.expires} <When at={expiresAt} />
          </>
        ) : (
          T.neverExpires
        )}{" "}
        ·{" "}
        {lastUsedAt ? (
          <>
            {T.lastUsed} <When at={lastUsedAt} />
          </>
        ) : (
          T.neverUsed
        )}
      </small>
    </>
  );
}

function Named({ term, value }: { term: string; value: string | null }) {
  if (!value) return null;
  return (
    <>
      {" "}
      · {term} <code>{value}</code>
    </>
  );
}

export function scopeOf(token: Pick<Token, "scope"> & Scope) {
  const { operations, methods, addresses } = token.scope ?? token;
  return [operations, methods, addresses]
    .filter((part) => part && part.length > 0)
    .map((part) => part?.join(", "))
    .join("; ");
}

const listOf = (text = "") => text.split(/[\s,]+/).filter(Boolean);

const nameOf = ({ source }: TokenKind) => (source && (T.sources[source] ?? source)) || T.personal;

const aboutKind = ({ kind, machine }: TokenKind) =>
  kind === "agent" ? T.kinds.agent : machine ? T.kinds.machine : T.kinds.person;

const MACHINE: Field[] = [
  { name: "agentId", label: T.agent, hint: T.agentHint, ...PLAIN },
  { name: "taskId", label: T.task, hint: T.taskHint, ...PLAIN },
];
