/** Two views of the visitor's identity: Vestibule's own answer, and the identity that the application receives. */

import { Card, Facts, Problem, Raw } from "../ui.jsx";

export function VestibuleCard({ me }) {
  return (
    <Card title="How Vestibule identifies you" about="GET /api/auth/me, answered by Vestibule.">
      <Answer answer={me} missing={NO_VESTIBULE}>
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
      title="What the application receives"
      about="GET /api/whoami, answered by the application from the identity headers."
    >
      <Answer answer={whoami}>
        {({ userId, sessionId, requestId, assertion, reason }) => (
          <>
            <Facts
              rows={[
                ["User", userId ?? "none", "whoami-user-id"],
                ["Session", sessionId],
                ["Request", requestId],
                ["Assertion", <Assertion key="assertion" value={assertion} />],
                ["Reason", reason],
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

/** Renders `children` with the data of an answer, or the problem. */
function Answer({ answer, missing, children }) {
  if (!answer) return <p aria-busy="true">Loading…</p>;
  if (answer.ok) return children(Object(answer.data));
  return <Problem problem={answer.status === 404 && missing ? missing : answer.problem} />;
}

const NO_VESTIBULE = {
  title: "Vestibule is not in front of this page.",
  detail: "You opened the application directly. Open the address of Vestibule instead.",
};
