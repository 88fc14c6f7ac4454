import { Act } from "../act.jsx";
import { callSignedIn } from "../api.js";
import { Badge, timeOf, When } from "../ui.jsx";
import { List, Row, useList } from "./list.jsx";

export function Sessions() {
  const list = useList("/api/sessions");
  const others = list.items?.filter(({ current }) => !current).length ?? 0;

  const end = ({ id, current, userAgent }) =>
    list.change(callSignedIn("DELETE", `/api/sessions/${encodeURIComponent(id)}`), () => {
      if (current) location.assign("/login");
      return { drop: id, message: `Signed out: ${browserOf(userAgent)}.` };
    });
  const endOthers = () =>
    list.change(callSignedIn("DELETE", "/api/sessions"), ({ revoked }) => ({
      keep: ({ current }) => current,
      message: `Signed out: ${revoked} other ${revoked === 1 ? "session" : "sessions"}.`,
    }));

  return (
    <>
      <p class="about">
        The browsers in which you are signed in. You can sign out each of them here.
      </p>
      <List
        name="sessions"
        list={list}
        empty="You have no sessions."
        missing={NOT_KEPT}
        order={(a, b) => b.current - a.current || b.lastSeenAt.localeCompare(a.lastSeenAt)}
        row={(session) => (
          <Row key={session.id} id={session.id} testId="session" about={<About {...session} />}>
            <Act
              label="Sign out"
              about={`${browserOf(session.userAgent)}, since ${timeOf(session.createdAt)}`}
              testId="session-end"
              act={() => end(session)}
            />
          </Row>
        )}
      />
      {others > 0 && (
        <Act label="Sign out everywhere else" testId="sessions-end-others" act={endOthers} />
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
          this browser
        </Badge>
      )}
      <small>
        {address ?? "Address unknown"} · since <When at={createdAt} /> · last seen{" "}
        <When at={lastSeenAt} /> · expires <When at={expiresAt} />
      </small>
    </>
  );
}

/** Returns a readable name for a `User-Agent`. */
function browserOf(text) {
  if (!text) return "Unknown browser";
  const name = (signs) => signs.find(([sign]) => text.includes(sign))?.[1];
  const [browser, system] = [name(BROWSERS), name(SYSTEMS)];
  if (!browser) return text;
  return system ? `${browser} on ${system}` : browser;
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

const NOT_KEPT = {
  title: "Sessions cannot be listed here.",
  detail: "This deployment checks session tokens without a registry.",
};
