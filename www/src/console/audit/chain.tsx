/** Checks that no row of the trail is missing or altered, day by day. */

import { useState } from "preact/hooks";
import { callSignedIn } from "../../account/list.tsx";
import type { Problem as ProblemData } from "../../api.ts";
import { CONSOLE } from "../../texts/console.ts";
import { Act } from "../../ui/act.tsx";
import { Problem } from "../../ui/problem.tsx";
import { Chip, count, Id } from "../parts.tsx";
import { Progress, useWork } from "../work.tsx";

const { audit: T } = CONSOLE;

interface Verified {
  ok: boolean;
  rows: number;
  chains: {
    day: string;
    shard: number;
    rows: number;
    head: string | null;
    broken: { seq: number; why: string } | null;
  }[];
}

interface Checked extends Verified {
  day: string;
}

export function Chain() {
  const work = useWork();
  const [days, setDays] = useState(1);
  const [checked, setChecked] = useState<Checked[]>([]);
  const [problem, setProblem] = useState<ProblemData>();

  const check = () =>
    work.run(T.checking, async (tell, signal) => {
      setChecked([]);
      setProblem(undefined);
      for (let ago = 0; ago < days && !signal.aborted; ago += 1) {
        const day = new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
        const answer = await callSignedIn<Verified>("GET", `/audit/verify?day=${day}`);
        // Before the first kept day there is nothing to check.
        if (!answer.ok && answer.problem.code === "invalid_body" && ago > 0) break;
        if (!answer.ok) return setProblem(answer.problem);
        setChecked((before) => [...before, { day, ...answer.data }]);
        tell(ago + 1, days);
      }
    });

  const rows = checked.reduce((sum, day) => sum + day.rows, 0);
  const broken = checked.flatMap(({ chains }) => chains.filter((chain) => chain.broken));
  return (
    <>
      {!work.running && (
        <span class="joined">
          <Act label={T.check} testId="audit-verify" act={check} />
          <select
            aria-label={T.checkDays}
            data-testid="audit-days"
            value={String(days)}
            onChange={({ currentTarget }) => setDays(Number(currentTarget.value))}
          >
            {T.dayOptions.map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </span>
      )}
      <Progress work={work} />
      {problem && <Problem problem={problem} testId="verify-error" />}
      {checked.length > 0 && !work.running && (
        <div class="verified" data-testid="verified">
          <p>
            <Chip tone={broken.length > 0 ? "bad" : "good"}>
              {broken.length > 0 ? T.broken : T.intact}
            </Chip>{" "}
            {T.checkedRows(count(rows), checked.length)}
          </p>
          {broken.map(({ day, shard, broken }) => (
            <p key={`${day} ${shard}`} class="problem">
              {T.brokenAt(day, shard, broken?.seq ?? 0, T.whys[broken?.why ?? ""] ?? "")}
            </p>
          ))}
          <details>
            <summary>{T.heads}</summary>
            <p class="soft">{T.headsHow}</p>
            <ul class="lines">
              {checked
                .flatMap(({ chains }) => chains)
                .map(({ day, shard, rows, head }) => (
                  <li key={`${day} ${shard}`}>
                    {day}, {T.shard(shard)}: {count(rows)} {head && <Id value={head} short />}
                  </li>
                ))}
            </ul>
          </details>
        </div>
      )}
    </>
  );
}
