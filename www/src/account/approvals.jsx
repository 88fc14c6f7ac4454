/** What machines want to do and a person has to approve, as it comes in. */

import { Act } from "../act.jsx";
import { ask } from "../api.js";
import { Badge, Facts, useWhileSeen, When } from "../ui.jsx";
import { byAge, List, Row, useList } from "./list.jsx";

export function Approvals({ me }) {
  const list = useList("/api/confirmations");
  useWhileSeen(list.reload, PAUSE);
  const waiting = list.items?.filter(isWaiting).length;

  const decide = (item, decision, said) =>
    list.change(ask("POST", `${pathOf(item)}/${decision}`), (put) => ({
      put,
      said: `${said}: ${nameOf(item)}.`,
      settled: true,
    }));

  return (
    <>
      <p class="about">
        What agents ask before they do it for you. Each may do it once, within ten minutes.
      </p>
      <output class="about said" data-testid="approvals-waiting">
        {waiting > 0 && `${waiting} ${waiting === 1 ? "waits" : "wait"} for you.`}
        {list.more && " There may be more: they are shown by the button below."}
      </output>
      <List
        name="approvals"
        list={list}
        empty="Nothing waits for you. What an agent asks shows up here by itself."
        missing={NOT_KEPT}
        order={inTurn}
        row={(item) => (
          <Row
            key={item.id}
            id={item.id}
            testId="approval"
            tall
            about={<About item={item} me={me} />}
          >
            {isWaiting(item) && <Acts item={item} decide={decide} />}
          </Row>
        )}
      />
    </>
  );
}

function About({ item, me }) {
  const { state, method, path, createdAt, decidedBy } = item;
  const by = decidedBy === me.userId ? "you" : decidedBy;
  const title = (
    <div>
      <strong data-testid="approval-operation">{nameOf(item)}</strong>{" "}
      <Badge tone={TONES[state]} testId="approval-state">
        {isWaiting(item) ? "waits" : state}
      </Badge>
    </div>
  );
  if (isWaiting(item)) {
    return (
      <div class="asked">
        {title}
        <Request item={item} me={me} />
      </div>
    );
  }
  return (
    <div class="asked past">
      {title}
      <small>
        {method} {visible(path)} · asked <When at={createdAt} />
        {by && ` · ${state === "rejected" ? "rejected" : "approved"} by ${by}`}
      </small>
      <details>
        <summary>What it was</summary>
        <Request item={item} me={me} />
      </details>
    </div>
  );
}

function Request({ item, me }) {
  const { method, path, principal, actor, contentType, headers, createdAt, expiresAt } = item;
  const { agentId, taskId, tokenId, tokenName, source } = Object(actor);
  const isForMe = principal.kind !== "user" || principal.id === me.userId;
  return (
    <>
      <Facts
        rows={[
          ["Request", visible(`${method} ${path}`), "approval-request"],
          ["Agent", agentId && visible(agentId), "approval-agent"],
          ["Task", taskId && visible(taskId), "approval-task"],
          ["Token", tokenName && visible(tokenName), "approval-token-name"],
          [tokenName ? "Its id" : "Token", tokenId, "approval-token"],
          ["Kind", source, "approval-source"],
          ["For", isForMe ? undefined : principal.id, "approval-for"],
          ["Asked", <When key="asked" at={createdAt} />],
          ["Until", <When key="until" at={expiresAt} />, "approval-until"],
          ["Type", contentType && visible(contentType), "approval-type"],
          [
            "Headers",
            headers?.length > 0 ? headers.map(headerLine) : undefined,
            "approval-headers",
          ],
        ]}
      />
      <Body item={item} />
    </>
  );
}

const headerLine = ([name, value], at) => <div key={at}>{visible(`${name}: ${value}`)}</div>;

/** What would be sent, as far as it can be shown. It is as long as it is: nothing hides below a fold. */
function Body({ item: { preview, previewCut, bodySha256 } }) {
  const isEmpty = bodySha256 === OF_NOTHING;
  return (
    <>
      {isEmpty && (
        <p class="about" data-testid="approval-nothing">
          It sends nothing along.
        </p>
      )}
      {!isEmpty && !preview && (
        <p class="about" data-testid="approval-no-text">
          What it sends is no text, so it cannot be shown. SHA-256: <code>{bodySha256}</code>
        </p>
      )}
      {preview && <pre data-testid="approval-preview">{visible(preview)}</pre>}
      {previewCut && (
        <div class="problem" data-testid="approval-cut">
          <strong>This is not all of it.</strong>
          <span>It goes on, and what is not shown here is done as well.</span>
          <code>SHA-256 of all: {bodySha256}</code>
        </div>
      )}
    </>
  );
}

function Acts({ item, decide }) {
  const about = `${nameOf(item)}, asked ${item.createdAt}`;
  return (
    <>
      <Act
        label="Approve"
        about={about}
        tone=""
        testId="approval-approve"
        act={() => decide(item, "approve", "Approved")}
      />
      <Act
        label="Reject"
        about={about}
        testId="approval-reject"
        act={() => decide(item, "reject", "Rejected")}
      />
    </>
  );
}

/** A text with what nobody would see in it spelt out: it could turn around what is read. */
function visible(text) {
  return text.replace(UNSEEN, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

const UNSEEN =
  /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u{2800}\u{1d159}]/gu;

/** SHA-256 of no bytes. */
const OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Those that wait first, the first that asked above: one that comes in moves no button. */
function inTurn(a, b) {
  const [first, second] = [a, b].map(isWaiting);
  if (first !== second) return second - first;
  return first ? byAge(b, a) : byAge(a, b);
}

const isWaiting = ({ state }) => state === "pending";

const nameOf = ({ operation, method, path }) => operation ?? `${method} ${path}`;

const pathOf = ({ id }) => `/api/confirmations/${encodeURIComponent(id)}`;

const TONES = { approved: "good", used: "good", rejected: "bad" };

/** Milliseconds from one answer to the next question. */
const PAUSE = 3_000;

const NOT_KEPT = {
  title: "Nothing needs your approval here.",
  detail: "This deployment keeps no confirmations.",
};
