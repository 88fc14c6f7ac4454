import { Act } from "../act.jsx";
import { ask } from "../api.js";
import { Badge, timeOf, When } from "../ui.jsx";
import { List, Row, useList } from "./list.jsx";

export function Sessions() {
  const list = useList("/api/sessions");
  const others = list.items?.filter(({ current }) => !current).length ?? 0;

  const revoke = ({ id, current, userAgent }) =>
    list.change(ask("DELETE", `/api/sessions/${encodeURIComponent(id)}`), () => {
      if (current) location.assign("/login");
      return { drop: id, said: `Ended: ${browserOf(userAgent)}.` };
    });
  const revokeOthers = () =>
    list.change(ask("DELETE", "/api/sessions"), ({ revoked }) => ({
      keep: ({ current }) => current,
      said: `Ended: ${revoked} other ${revoked === 1 ? "session" : "sessions"}.`,
    }));

  return (
    <>
      <p class="about">Where you are signed in. What is ended here is signed out there.</p>
      <List
        name="sessions"
        list={list}
        empty="You have no sessions."
        missing={NOT_KEPT}
        order={(a, b) => b.current - a.current || b.lastSeenAt.localeCompare(a.lastSeenAt)}
        row={(session) => (
          <Row key={session.id} id={session.id} testId="session" about={<About {...session} />}>
            <Act
              label={session.current ? "Sign out" : "End"}
              about={`${browserOf(session.userAgent)}, since ${timeOf(session.createdAt)}`}
              testId="session-revoke"
              act={() => revoke(session)}
            />
          </Row>
        )}
      />
      {others > 0 && (
        <Act label="End all others" testId="sessions-revoke-others" act={revokeOthers} />
      )}
    </>
  );
}

function About({ current, userAgent, address, createdAt, lastSeenAt, expiresAt }) {
  return (
    <>
      <strong title={userAgent}>{browserOf(userAgent)}</strong>{" "}
      {current && (
        <Badge tone="good" testId="session-current">
          this one
        </Badge>
      )}
      <small>
        {address ?? "Address unknown"} · since <When at={createdAt} /> · last seen{" "}
        <When at={lastSeenAt} /> · until <When at={expiresAt} />
      </small>
    </>
  );
}

/** A browser by its `User-Agent`, as people call it. */
function browserOf(text) {
  if (!text) return "Unknown browser";
  const name = (signs) => signs.find(([sign]) => text.includes(sign))?.[1];
  const [browser, system] = [name(BROWSERS), name(SYSTEMS)];
  if (!browser) return text;
  return system ? `${browser} on ${system}` : browser;
}

// Each one claims to be those below it, too.
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

const NOT_KEPT = {
  title: "Nobody keeps your sessions here.",
  detail: "This deployment checks tokens without a registry.",
};
