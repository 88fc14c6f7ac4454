/** Two views of one request: what the edge decided, and what the origin was told. */

import { Card, Facts, Problem, Raw } from "../ui.jsx";

export function EdgeCard({ me }) {
  return (
    <Card
      title="Who the edge thinks you are"
      about="GET /api/auth/me, answered by Vestibule itself."
    >
      <Answer answer={me} missing={NO_EDGE}>
        {({ kind, userId, role, sessionId, expiresAt, user }) => (
          <>
            <Facts
              rows={[
                ["Kind", kind],
                ["User", userId, "me-user-id"],
                ["E-mail", user?.email],
                ["Role", role],
                ["Session", sessionId],
                ["Expires", expiresAt && new Date(expiresAt).toLocaleString()],
              ]}
            />
            <Raw data={me.data} testId="me-json" />
          </>
        )}
      </Answer>
    </Card>
  );
}

export function UpstreamCard({ whoami }) {
  return (
    <Card
      title="What the origin was told"
      about="GET /api/whoami, answered from the stamped headers."
    >
      <Answer answer={whoami}>
        {({ userId, sessionId, requestId, assertion, reason }) => (
          <>
            <Facts
              rows={[
                ["User", userId ?? "nobody", "whoami-user-id"],
                ["Session", sessionId],
                ["Request", requestId],
                ["Assertion", <Assertion key="assertion" value={assertion} />],
                ["Because", reason],
              ]}
            />
            <Raw data={whoami.data} testId="whoami-json" />
          </>
        )}
      </Answer>
    </Card>
  );
}

function Assertion({ value }) {
  const tone = value === "verified" ? "good" : "bad";
  return (
    <span class={`badge ${tone}`} data-testid="whoami-assertion">
      {value}
    </span>
  );
}

/** Draws `children` from the data of an answer, or says why there is none. */
function Answer({ answer, missing, children }) {
  if (!answer) return <p aria-busy="true">Asking…</p>;
  if (answer.ok) return children(Object(answer.data));
  return <Problem problem={answer.status === 404 && missing ? missing : answer.problem} />;
}

const NO_EDGE = {
  title: "There is no edge in front of this page.",
  detail: "You opened the origin directly. Open the address of Vestibule instead.",
};
