/** Rate limits: who is near, who is over. */

import { callSignedIn } from "../../account/list.tsx";
import { CONSOLE } from "../../texts/console.ts";
import { Act } from "../../ui/act.tsx";
import { ChangeProblem, useChanges } from "../changes.tsx";
import { pathWith, usePages } from "../data.ts";
import { ChoiceFilter, Filters, TextFilter } from "../filter.tsx";
import { Ago, Chip, count, Empty, Id } from "../parts.tsx";
import { usePlace } from "../place.ts";
import { type Column, Table } from "../table.tsx";

const { limits: T } = CONSOLE;

interface Limit {
  id: string;
  /** The name of the limit. */
  limit: string;
  /** The client or user that is counted, as it may be shown. */
  key: string;
  keyKind: string;
  count: number;
  allowed: number;
  period: number;
  resetsAt: string;
  isOver: boolean;
}

export function Limits() {
  const place = usePlace();
  const filter = { limit: place.get("limit"), over: place.get("over") };
  const list = usePages<Limit>(pathWith("/limits", filter));
  const { change, problem } = useChanges(list);
  const reset = (limit: Limit) =>
    change(callSignedIn("POST", `/limits/${encodeURIComponent(limit.id)}/reset`), () => ({
      drop: limit.id,
      message: T.resetDone(limit.limit, limit.key),
    }));
  return (
    <>
      {list.failed?.status !== 404 && (
        <Filters names={["limit", "over"]}>
          <TextFilter name="limit" label={T.limit} main />
          <ChoiceFilter name="over" label={T.show} options={[["true", T.onlyOver]]} />
        </Filters>
      )}
      <ChangeProblem problem={problem} />
      <Table
        label={T.title}
        list={list}
        columns={COLUMNS}
        off={T.off}
        empty={
          filter.limit || filter.over ? (
            <Empty title={T.noMatch} />
          ) : (
            <Empty title={T.empty}>{T.emptyHow}</Empty>
          )
        }
        acts={(limit) => (
          <Act
            label={T.reset}
            about={`${limit.limit}, ${limit.key}`}
            testId="limit-reset"
            tone="danger"
            question={T.resetQuestion(limit.limit, limit.key)}
            act={() => reset(limit)}
          />
        )}
      />
    </>
  );
}

const COLUMNS: Column<Limit>[] = [
  { title: T.limit, cell: ({ limit }) => <strong>{limit}</strong> },
  { title: T.key, cell: ({ key }) => <Id value={key} short /> },
  { title: T.used, cell: (limit) => <Used {...limit} /> },
  { title: T.resets, cell: ({ resetsAt }) => <Ago at={resetsAt} />, wide: true },
];

function Used({ count: used, allowed, isOver }: Limit) {
  const share = allowed > 0 ? used / allowed : 1;
  return (
    <span class="meter">
      <meter
        min={0}
        max={Math.max(allowed, 1)}
        low={allowed * 0.8}
        high={allowed * 0.999}
        optimum={0}
        value={Math.min(used, allowed)}
        aria-label={T.usedOf(used, allowed)}
      />
      <span class="numeric">
        {count(used)} / {count(allowed)}
      </span>{" "}
      {isOver ? (
        <Chip tone="bad">{T.over}</Chip>
      ) : (
        share >= 0.8 && <Chip tone="warn">{T.near}</Chip>
      )}
    </span>
  );
}
