/** Requests of machines that need a person's approval. New ones appear while the page is open. */

import type { Me } from "../me.ts";
import type { PartProps } from "../pages/account.tsx";
import { ACCOUNT } from "../texts/account.ts";
import { Act } from "../ui/act.tsx";
import { Badge, Facts, useWhileVisible, When } from "../ui/show.tsx";
import { byAge, callSignedIn, List, Row, useList } from "./list.tsx";
import { countAgain, Notify } from "./waiting.tsx";

const { approvals: T } = ACCOUNT;

interface Approval {
  id: string;
  state: string;
  operation?: string | null;
  method: string;
  path: string;
  principal: { kind: string; id: string };
  actor?: {
    agentId?: string;
    taskId?: string;
    tokenId?: string;
    tokenName?: string;
    source?: string;
  };
  contentType?: string | null;
  headers?: [string, string][];
  preview?: string | null;
  previewCut?: boolean;
  bodySha256?: string;
  createdAt: string;
  expiresAt: string;
  decidedBy?: string | null;
}

export function Approvals({ me }: Pick<PartProps, "me">) {
  const list = useList<Approval>("/confirmations");
  useWhileVisible(list.reload, PAUSE);
  const pending = list.items?.filter(isPending).length ?? 0;

  const decide = (item: Approval, decision: string, said: string) =>
    list.change(
      callSignedIn<Approval>("POST", `/confirmations/${encodeURIComponent(item.id)}/${decision}`),
      (put) => {
        countAgain();
        return { put, message: said, settled: true };
      },
    );

  return (
    <>
      <p class="about">{T.about}</p>
      <Notify />
      <output class="status" data-testid="approvals-waiting">
        {pending > 0 && T.waiting(pending)}
        {list.more && ` ${T.more}`}
      </output>
      <List
        name="approvals"
        list={list}
        empty={T.empty}
        missing={{ title: T.missing, detail: T.missingDetail }}
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

function About({ item, me }: { item: Approval; me: Me }) {
  const { state, method, path, createdAt, decidedBy } = item;
  const by = decidedBy === me.userId ? T.you : decidedBy;
  const title = (
    <div>
      <strong data-testid="approval-operation">{nameOf(item)}</strong>{" "}
      <Badge tone={TONES[state]} testId="approval-state">
        {T.states[state] ?? state}
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
        {method} {visible(path)} · {T.requested.toLowerCase()} <When at={createdAt} />
        {by && ` · ${T.by(state, by)}`}
      </small>
      <details>
        <summary>{T.details}</summary>
        <Request item={item} me={me} />
      </details>
    </div>
  );
}

function Request({ item, me }: { item: Approval; me: Me }) {
  const { method, path, principal, actor, contentType, headers, createdAt, expiresAt } = item;
  const { agentId, taskId, tokenId, tokenName, source } = actor ?? {};
  const isForMe = principal.kind !== "user" || principal.id === me.userId;
  const lines = headers?.map(([name, value], at) => (
    <div key={at}>{visible(`${name}: ${value}`)}</div>
  ));
  return (
    <>
      <Facts
        rows={[
          { term: T.request, value: visible(`${method} ${path}`), testId: "approval-request" },
          { term: T.agent, value: agentId && visible(agentId), testId: "approval-agent" },
          { term: T.task, value: taskId && visible(taskId), testId: "approval-task" },
          { term: T.token, value: tokenName && visible(tokenName), testId: "approval-token-name" },
          { term: tokenName ? T.tokenId : T.token, value: tokenId, testId: "approval-token" },
          { term: T.kind, value: source, testId: "approval-source" },
          { term: T.for, value: isForMe ? undefined : principal.id, testId: "approval-for" },
          { term: T.requested, value: <When at={createdAt} /> },
          { term: T.expires, value: <When at={expiresAt} />, testId: "approval-until" },
          { term: T.type, value: contentType && visible(contentType), testId: "approval-type" },
          { term: T.headers, value: lines?.length ? lines : undefined, testId: "approval-headers" },
        ]}
      />
      <Body item={item} />
    </>
  );
}

/** Shows the body of the request in full height, so that no part of it is hidden. */
function Body({ item: { preview, previewCut, bodySha256 } }: { item: Approval }) {
  const isEmpty = bodySha256 === EMPTY_SHA256;
  return (
    <>
      {isEmpty && (
        <p class="about" data-testid="approval-nothing">
          {T.noBody}
        </p>
      )}
      {!isEmpty && !preview && (
        <p class="about" data-testid="approval-no-text">
          {T.noText} <code>{bodySha256}</code>
        </p>
      )}
      {preview && <pre data-testid="approval-preview">{visible(preview)}</pre>}
      {previewCut && (
        <div class="problem" data-testid="approval-cut">
          <strong>{T.cut}</strong>
          <span>{T.cutDetail}</span>
          <code>
            {T.cutHash} {bodySha256}
          </code>
        </div>
      )}
    </>
  );
}

interface ActsProps {
  item: Approval;
  decide: (item: Approval, decision: string, said: string) => Promise<void>;
}

function Acts({ item, decide }: ActsProps) {
  const about = `${nameOf(item)}, ${T.requested.toLowerCase()} ${item.createdAt}`;
  return (
    <>
      <Act
        label={T.approve}
        about={about}
        tone="fill"
        testId="approval-approve"
        act={() => decide(item, "approve", T.approved(nameOf(item)))}
      />
      <Act
        label={T.reject}
        about={about}
        testId="approval-reject"
        act={() => decide(item, "reject", T.rejected(nameOf(item)))}
      />
    </>
  );
}

/** Replaces invisible characters by their code points. They could hide text or reverse its direction. */
function visible(text: string) {
  return text.replace(INVISIBLE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

const INVISIBLE =
  /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u{2800}\u{1d159}]/gu;

/** SHA-256 of no bytes. */
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Pending requests come first, the oldest on top. So a new request does not move the buttons of others. */
function byUrgency(one: Approval, other: Approval) {
  const [first, second] = [isPending(one), isPending(other)];
  if (first !== second) return Number(second) - Number(first);
  return first ? byAge(other, one) : byAge(one, other);
}

const isPending = ({ state }: Approval) => state === "pending";

const nameOf = ({ operation, method, path }: Approval) => operation ?? `${method} ${path}`;

const TONES: Record<string, "good" | "bad"> = { approved: "good", used: "good", rejected: "bad" };

/** Milliseconds between an answer and the next request. */
const PAUSE = 3_000;
