import { useState } from "preact/hooks";
import { Act } from "../act.jsx";
import { callSignedIn } from "../api.js";
import { Form } from "../form.jsx";
import { keyKeeper } from "../idempotent.js";
import { Badge, When } from "../ui.jsx";
import { List, Row, useList } from "./list.jsx";
import { Made } from "./made.jsx";

export function Tokens({ me }) {
  const list = useList("/api/agent-tokens");
  const [made, setMade] = useState();
  const [keys] = useState(keyKeeper);
  const kinds = KINDS.filter(({ forAdmins }) => me.role === "admin" || !forAdmins);
  const [prefix, setPrefix] = useState(kinds[0].prefix);
  const { isMachine, hint } = kinds.find((kind) => kind.prefix === prefix);

  const fields = [
    { name: "name", label: "Name", hint: "To recognize it later", required: true, ...PLAIN },
    {
      name: "prefix",
      label: "Kind",
      options: kinds.map(({ prefix, name }) => [prefix, `${name} (${prefix})`]),
      hint,
      onInput: ({ target }) => setPrefix(target.value),
    },
    ...(isMachine ? MACHINE : []),
    EXPIRES,
  ];
  const make = async (json) => {
    const answer = await callSignedIn("POST", "/api/agent-tokens", {
      json,
      key: keys.keyOf(JSON.stringify(json)),
    });
    if (answer.status !== 0) keys.answered();
    if (answer.problem?.code === "idempotency_outcome_unknown") list.reload();
    return answer;
  };
  const onCreated = ({ plaintext, ...token }) => {
    setPrefix(kinds[0].prefix);
    setMade({ id: token.id, name: token.name, plaintext });
    list.put(token);
  };
  const remove = (token) =>
    list.change(callSignedIn("DELETE", `/api/agent-tokens/${encodeURIComponent(token.id)}`), () => {
      // Hides the value of a revoked token.
      setMade((shown) => (shown?.id === token.id ? undefined : shown));
      return { drop: token.id, message: `Revoked: ${token.name}.` };
    });

  return (
    <>
      <p class="about">
        For scripts and agents. A program with one of your tokens acts for you until you revoke it.
      </p>
      <Form id="token-new" label="Create a token" fields={fields} send={make} done={onCreated} />
      {made && (
        <Made
          key={made.id}
          name="token"
          what="value"
          label={`The token “${made.name}”.`}
          value={made.plaintext}
          onDone={() => setMade(undefined)}
        />
      )}
      <List
        name="tokens"
        list={list}
        empty="There are no tokens."
        row={(token) => (
          <Row key={token.id} id={token.id} testId="token" about={<About token={token} me={me} />}>
            <Act
              label="Revoke"
              about={token.name}
              testId="token-revoke"
              question={`Revoke “${token.name}”? Programs with this token lose access at once.`}
              act={() => remove(token)}
            />
          </Row>
        )}
      />
    </>
  );
}

function About({ token, me }) {
  const { id, name, prefix, owner, agentId, taskId, createdAt, expiresAt, lastUsedAt } = token;
  return (
    <>
      <strong data-testid="token-name">{name}</strong> <Badge testId="token-prefix">{prefix}</Badge>
      <small>
        <code>{id}</code>
        {agentId && (
          <>
            {" "}
            · agent <code>{agentId}</code>
          </>
        )}
        {taskId && (
          <>
            {" "}
            · task <code>{taskId}</code>
          </>
        )}
        {owner !== me.userId && (
          <>
            {" "}
            · owner <code>{owner}</code>
          </>
        )}
      </small>
      <small>
        created <When at={createdAt} /> ·{" "}
        {expiresAt ? (
          <>
            expires <When at={expiresAt} />
          </>
        ) : (
          "never expires"
        )}{" "}
        ·{" "}
        {lastUsedAt ? (
          <>
            last used <When at={lastUsedAt} />
          </>
        ) : (
          "never used"
        )}
      </small>
    </>
  );
}

const KINDS = [
  {
    prefix: "mat_",
    name: "Task token",
    hint: "An agent acts for you; some actions need your approval",
    isMachine: true,
  },
  { prefix: "mul_", name: "Personal access token", hint: "Acts as you, without approvals" },
  {
    prefix: "mcn_",
    name: "Cloud node",
    hint: "A machine acts for you; some actions need your approval",
    isMachine: true,
  },
  {
    prefix: "mk_",
    name: "Agent token",
    hint: "Acts for an agent, not for a user",
    isMachine: true,
    forAdmins: true,
  },
];

const PLAIN = { autocomplete: "off", spellcheck: false };

const MACHINE = [
  { name: "agentId", label: "Agent (optional)", hint: "The id of the agent in your app", ...PLAIN },
  { name: "taskId", label: "Task (optional)", hint: "The id of the task in your app", ...PLAIN },
];

const EXPIRES = {
  name: "expiresIn",
  as: "expires",
  label: "Expires in",
  options: [
    ["24h", "1 day"],
    ["7d", "7 days"],
    ["90d", "90 days"],
    ["", "Never"],
  ],
};
