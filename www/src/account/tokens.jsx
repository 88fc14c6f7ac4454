import { useState } from "preact/hooks";
import { Act } from "../act.jsx";
import { ask } from "../api.js";
import { Form } from "../form.jsx";
import { keeper } from "../idempotent.js";
import { Badge, When } from "../ui.jsx";
import { List, Row, useList } from "./list.jsx";
import { Made } from "./made.jsx";

export function Tokens({ me }) {
  const list = useList("/api/agent-tokens");
  const [made, setMade] = useState();
  const [act] = useState(keeper);
  const kinds = KINDS.filter(({ forAdmins }) => me.role === "admin" || !forAdmins);
  const [prefix, setPrefix] = useState(kinds[0].prefix);
  const { isMachine, hint } = kinds.find((kind) => kind.prefix === prefix);

  const fields = [
    { name: "name", label: "Name", hint: "What you will know it by", required: true, ...PLAIN },
    {
      name: "prefix",
      label: "For",
      options: kinds.map(({ prefix, name }) => [prefix, `${name} (${prefix})`]),
      hint,
      onInput: ({ target }) => setPrefix(target.value),
    },
    ...(isMachine ? MACHINE : []),
    EXPIRES,
  ];
  const make = async (json) => {
    const answer = await ask("POST", "/api/agent-tokens", {
      json,
      key: act.keyOf(JSON.stringify(json)),
    });
    if (answer.status !== 0) act.answered();
    if (answer.problem?.code === "idempotency_outcome_unknown") list.reload();
    return answer;
  };
  const making = ({ plaintext, ...token }) => {
    setPrefix(kinds[0].prefix);
    setMade({ id: token.id, name: token.name, plaintext });
    list.put(token);
  };
  const remove = (token) =>
    list.change(ask("DELETE", `/api/agent-tokens/${encodeURIComponent(token.id)}`), () => {
      // What is worth nothing any more is not to be copied.
      setMade((shown) => (shown?.id === token.id ? undefined : shown));
      return { drop: token.id, said: `Taken back: ${token.name}.` };
    });

  return (
    <>
      <p class="about">
        For scripts and agents. What acts by one of yours acts for you, until you take it back.
      </p>
      <Form id="token-new" label="Make a token" fields={fields} send={make} done={making} />
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
              label="Take back"
              about={token.name}
              testId="token-revoke"
              question={`Take “${token.name}” back? Whatever acts by it stops at once.`}
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
            · of <code>{owner}</code>
          </>
        )}
      </small>
      <small>
        made <When at={createdAt} /> ·{" "}
        {expiresAt ? (
          <>
            until <When at={expiresAt} />
          </>
        ) : (
          "without end"
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
    name: "A task",
    hint: "An agent acts for you, and asks you where it must",
    isMachine: true,
  },
  { prefix: "mul_", name: "Yourself", hint: "Passes for you in person, and is never asked" },
  {
    prefix: "mcn_",
    name: "A cloud node",
    hint: "A machine acts for you, and asks you where it must",
    isMachine: true,
  },
  {
    prefix: "mk_",
    name: "An agent",
    hint: "Acts for itself, and for no user",
    isMachine: true,
    forAdmins: true,
  },
];

const PLAIN = { autocomplete: "off", spellcheck: false };

const MACHINE = [
  { name: "agentId", label: "Agent (optional)", hint: "Its id, as your app knows it", ...PLAIN },
  { name: "taskId", label: "Task (optional)", hint: "The id of what it works on", ...PLAIN },
];

const EXPIRES = {
  name: "expiresIn",
  as: "expires",
  label: "Holds for",
  options: [
    ["24h", "A day"],
    ["7d", "A week"],
    ["90d", "Three months"],
    ["", "As long as you want"],
  ],
};
