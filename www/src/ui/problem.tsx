import type { Problem as ProblemData } from "../api.ts";
import { TEXTS } from "../texts/common.ts";

/** Shows a problem. It can have the focus, and screen readers announce it at once. */
export function Problem({
  problem,
  id,
  testId,
}: {
  problem: ProblemData;
  id?: string;
  testId?: string;
}) {
  return (
    <div class="problem" role="alert" id={id} tabIndex={-1} data-testid={testId}>
      <strong>{problem.title}</strong>
      {problem.detail && <span>{problem.detail}</span>}
      {problem.requestId && !QUIET.has(problem.code ?? "") && (
        <small>
          {TEXTS.requestId} <code>{problem.requestId}</code>
        </small>
      )}
    </div>
  );
}

/** Problems that the person can solve alone. Their request id would only distract. */
const QUIET = new Set([
  "invalid_credentials",
  "invalid_body",
  "rate_limited",
  "email_mismatch",
  "invite_unusable",
  "reset_unusable",
  "email_taken",
  "already_set_up",
  "invalid_token",
]);
