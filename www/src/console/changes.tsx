/** Changes of the items of a list: what was done is announced, what failed is shown, and nothing is lost. */

import { useState } from "preact/hooks";
import type { ListState } from "../account/list.tsx";
import type { Problem as ProblemData } from "../api.ts";
import { Problem } from "../ui/problem.tsx";
import type { PagedList } from "./data.ts";
import { say } from "./parts.tsx";
import { go } from "./place.ts";

export interface Changes<T extends { id: string }> {
  change: ListState<T>["change"];
  problem: ProblemData | undefined;
}

export function useChanges<T extends { id: string }>(list: PagedList<T>): Changes<T> {
  const [problem, setProblem] = useState<ProblemData>();
  const change: ListState<T>["change"] = async (request, then) => {
    setProblem(undefined);
    const answer = await request;
    if (!answer.ok) {
      setProblem(answer.problem);
      // The item has changed on the server.
      if ([404, 410].includes(answer.status)) await list.reload();
      return;
    }
    const { message, put, drop } = then(answer.data);
    if (message) say(message);
    if (put) list.put(put);
    if (drop === undefined) return;
    list.drop(drop);
    const isOpen = new URLSearchParams(location.search).get("id") === drop;
    if (isOpen) go({ id: "" }, { replace: true, trail: history.state?.trail });
    // The focused button has disappeared.
    document.querySelector<HTMLElement>("#screen")?.focus();
  };
  return { change, problem };
}

export function ChangeProblem({ problem }: { problem: ProblemData | undefined }) {
  return problem ? <Problem problem={problem} testId="change-error" /> : null;
}
