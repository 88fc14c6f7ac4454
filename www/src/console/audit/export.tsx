/** Downloads all rows that match, one JSON object a line. */

import { useState } from "preact/hooks";
import { callSignedIn } from "../../account/list.tsx";
import type { Problem as ProblemData } from "../../api.ts";
import { CONSOLE } from "../../texts/console.ts";
import { Act } from "../../ui/act.tsx";
import { Problem } from "../../ui/problem.tsx";
import { say } from "../parts.tsx";
import { Progress, useWork } from "../work.tsx";
import type { AuditRow } from "./audit.tsx";

const { audit: T } = CONSOLE;

export function Export({ path }: { path: string }) {
  const work = useWork();
  const [problem, setProblem] = useState<ProblemData>();

  const start = () =>
    work.run(T.exporting, async (tell, signal) => {
      setProblem(undefined);
      // Rows that are written meanwhile are not part of it: the pages would move.
      const until = new Date().toISOString();
      const bounded = /[?&]until=/.test(path) ? path : `${path}${joint(path)}until=${until}`;
      const parts: Blob[] = [];
      let rows = 0;
      for (let cursor: string | null = ""; cursor !== null; ) {
        const query = new URLSearchParams({ limit: "100", ...(cursor && { cursor }) });
        const answer = await callSignedIn<{ items: AuditRow[]; next: string | null }>(
          "GET",
          `${bounded}${joint(bounded)}${query}`,
        );
        if (!answer.ok) {
          setProblem(answer.problem);
          break;
        }
        const { items, next } = answer.data;
        // The browser may keep a Blob on the disk. A text of this size would fill its memory.
        parts.push(new Blob(items.map((row) => `${JSON.stringify(row)}\n`)));
        rows += items.length;
        tell(rows);
        cursor = next;
        if (signal.aborted) break;
      }
      if (rows === 0) return say(T.nothingToExport);
      download(new Blob(parts, { type: "application/x-ndjson" }), T.file(until.slice(0, 10)));
      say(signal.aborted ? T.exportStopped(rows) : T.exported(rows));
    });

  return (
    <>
      {!work.running && <Act label={T.export} testId="audit-export" act={start} />}
      <Progress work={work} />
      {problem && <Problem problem={problem} testId="export-error" />}
    </>
  );
}

const joint = (path: string) => (path.includes("?") ? "&" : "?");

function download(blob: Blob, name: string) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
