import { ACCOUNT } from "../texts/account.ts";
import { Act } from "../ui/act.tsx";
import { Badge, timeOf, When } from "../ui/show.tsx";
import { callSignedIn, List, Row, useList } from "./list.tsx";

const { sessions: T } = ACCOUNT;

export interface Session {
  id: string;
  current: boolean;
  createdAt: string;
  lastSeenAt: string;
  expiresAt: string;
  userAgent: string | null;
  address: string | null;
  /** The names that the gateway gives to the browser and the place. */
  device?: string | null;
  place?: string | null;
}

export function Sessions() {
  const list = useList<Session>("/sessions");
  const others = list.items?.filter(({ current }) => !current).length ?? 0;

  const end = (session: Session) =>
    list.change(callSignedIn("DELETE", `/sessions/${encodeURIComponent(session.id)}`), () => {
      if (session.current) location.assign("sign-in");
      return { drop: session.id, message: T.signedOut(browserOf(session)) };
    });
  const endOthers = () =>
    list.change(callSignedIn<{ revoked: number }>("DELETE", "/sessions"), ({ revoked }) => ({
      keep: ({ current }) => current,
      message: T.signedOutOthers(revoked),
    }));

  const endAll = () =>
    list.change(callSignedIn("DELETE", "/sessions?all=true"), () => {
      location.assign("sign-in");
      return { keep: () => false, message: T.signedOutAll };
    });

  return (
    <>
      <p class="about">{T.about}</p>
      <List
        name="sessions"
        list={list}
        empty={T.empty}
        order={(one, other) =>
          Number(other.current) - Number(one.current) ||
          other.lastSeenAt.localeCompare(one.lastSeenAt)
        }
        row={(session) => (
          <Row key={session.id} id={session.id} testId="session" about={<About {...session} />}>
            <Act
              label={T.signOut}
              about={`${browserOf(session)}, ${T.since} ${timeOf(session.createdAt)}`}
              testId="session-end"
              act={() => end(session)}
            />
          </Row>
        )}
      />
      {others > 0 && (
        <div class="actions">
          <Act label={T.others} testId="sessions-end-others" act={endOthers} />
          <Act
            label={T.everywhere}
            testId="sessions-end-all"
            tone="danger"
            question={T.everywhereQuestion}
            act={endAll}
          />
        </div>
      )}
    </>
  );
}

function About(session: Session) {
  const { current, userAgent, address, place, createdAt, lastSeenAt, expiresAt } = session;
  return (
    <>
      <strong title={userAgent ?? undefined}>{browserOf(session)}</strong>{" "}
      {current && (
        <Badge tone="good" testId="session-current">
          {T.current}
        </Badge>
      )}
      <small>
        {[place, address].filter(Boolean).join(" · ") || T.unknownAddress} · {T.since}{" "}
        <When at={createdAt} />
      </small>
      <small>
        {T.lastSeen} <When at={lastSeenAt} /> · {T.expires} <When at={expiresAt} />
      </small>
    </>
  );
}

/** Returns a readable name for the browser of a session. */
export function browserOf({ device, userAgent }: Session) {
  if (device) return device;
  if (!userAgent) return T.unknownBrowser;
  const name = (signs: string[][]) => signs.find(([sign = ""]) => userAgent.includes(sign))?.[1];
  const [browser, system] = [name(BROWSERS), name(SYSTEMS)];
  if (!browser) return userAgent;
  return system ? T.on(browser, system) : browser;
}

// In this order, because each of these browsers also names those below it.
const BROWSERS = [
  ["Edg/", "Edge"],
  ["OPR/", "Opera"],
  ["Firefox/", "Firefox"],
  ["Chrome/", "Chrome"],
  ["Safari/", "Safari"],
];

const SYSTEMS = [
  ["Android", "Android"],
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Windows", "Windows"],
  ["Mac OS X", "macOS"],
  ["CrOS", "ChromeOS"],
  ["Linux", "Linux"],
];
