/** Requests of machines that need a person's approval. New ones appear while the page is open. */

import { Act } from "../act.jsx";
import { callSignedIn } from "../api.js";
import { Badge, Facts, useWhileVisible, When } from "../ui.jsx";
import { byAge, List, Row, useList } from "./list.jsx";

export function Approvals({ me }) {
  const list = useList("/api/confirmations");
  useWhileVisible(list.reload, PAUSE);
  const pending = list.items?.filter(isPending).length;

  const decide = (item, decision, verb) =>
    list.change(callSignedIn("POST", `${pathOf(item)}/${decision}`), (put) => ({
      put,
      message: `${verb}: ${nameOf(item)}.`,
      settled: true,
    }));

  return (
    <>
      <p class="about">
        Requests of agents that need your approval. An approved request can run once, within ten
        minutes.
      </p>
      <output class="about status" data-testid="approvals-waiting">
        {pending > 0 && `${pending} ${pending === 1 ? "needs" : "need"} your approval.`}
        {list.more && " There may be more: use the button below."}
      </output>
      <List
        name="approvals"
        list={list}
        empty="No pending requests. New requests appear here automatically."
        missing={NOT_KEPT}
        order={byUrgency}
        row={(item) => (
          <Row
            key={item.id}
            id={item.id}
            testId="approval"
            tall
            about={<About item={item} me={me} />}
          >
            {isPending(item) && <Acts item={item} decide={decide} />}
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
        {state}
      </Badge>
    </div>
  );
  if (isPending(item)) {
    return (
      <div class="approval">
        {title}
        <Request item={item} me={me} />
      </div>
    );
  }
  return (
    <div class="approval decided">
      {title}
      <small>
        {method} {visible(path)} · requested <When at={createdAt} />
        {by && ` · ${state === "rejected" ? "rejected" : "approved"} by ${by}`}
      </small>
      <details>
        <summary>Details</summary>
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
          [tokenName ? "Token id" : "Token", tokenId, "approval-token"],
          ["Kind", source, "approval-source"],
          ["For", isForMe ? undefined : principal.id, "approval-for"],
          ["Requested", <When key="requested" at={createdAt} />],
          ["Expires", <When key="expires" at={expiresAt} />, "approval-until"],
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

/** Shows the body of the request in full height, so that no part of it is hidden. */
function Body({ item: { preview, previewCut, bodySha256 } }) {
  const isEmpty = bodySha256 === EMPTY_SHA256;
  return (
    <>
      {isEmpty && (
        <p class="about" data-testid="approval-nothing">
          The request has no body.
        </p>
      )}
      {!isEmpty && !preview && (
        <p class="about" data-testid="approval-no-text">
          The body is not text, so it cannot be shown. SHA-256: <code>{bodySha256}</code>
        </p>
      )}
      {preview && <pre data-testid="approval-preview">{visible(preview)}</pre>}
      {previewCut && (
        <div class="problem" data-testid="approval-cut">
          <strong>This is not the whole body.</strong>
          <span>Your approval also covers the part that is not shown.</span>
          <code>SHA-256 of the whole body: {bodySha256}</code>
        </div>
      )}
    </>
  );
}

function Acts({ item, decide }) {
  const about = `${nameOf(item)}, requested ${item.createdAt}`;
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

/** Replaces invisible characters by their code points. They could hide text or reverse its direction. */
function visible(text) {
  return text.replace(INVISIBLE, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

const INVISIBLE =
  /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u{2800}\u{1d159}]/gu;

/** SHA-256 of no bytes. */
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Pending requests come first, the oldest on top. So a new request does not move the buttons of others. */
function byUrgency(a, b) {
  const [first, second] = [a, b].map(isPending);
  if (first !== second) return second - first;
  return first ? byAge(b, a) : byAge(a, b);
}

const isPending = ({ state }) => state === "pending";

const nameOf = ({ operation, method, path }) => operation ?? `${method} ${path}`;

const pathOf = ({ id }) => `/api/confirmations/${encodeURIComponent(id)}`;

const TONES = { approved: "good", used: "good", rejected: "bad" };

/** Milliseconds between an answer and the next request. */
const PAUSE = 3_000;

const NOT_KEPT = {
  title: "Nothing needs your approval here.",
  detail: "This deployment does not use approvals.",
};
