/** Requests with an idempotency key whose outcome is unknown. A person finds out, and records it. */

import { callSignedIn } from "../../account/list.tsx";
import { CONSOLE } from "../../texts/console.ts";
import { Act } from "../../ui/act.tsx";
import { ChangeProblem, useChanges } from "../changes.tsx";
import { usePages } from "../data.ts";
import { Ago, Empty, Id } from "../parts.tsx";
import { type Column, Table } from "../table.tsx";

const { idempotency: T, off } = CONSOLE;

interface Unresolved {
  id: string;
  operation: string;
  principal: string;
  heldUntil: string;
}

export function Keys() {
  const list = usePages<Unresolved>("/idempotency");
  const { change, problem } = useChanges(list);
  const resolve = (item: Unresolved, outcome: "ran" | "did_not_run") =>
    change(
      callSignedIn("POST", `/idempotency/${encodeURIComponent(item.id)}/resolve`, {
        json: { outcome },
      }),
      () => ({ drop: item.id, message: T.resolved(item.operation, outcome === "ran") }),
    );
  return (
    <>
      <ChangeProblem problem={problem} />
      <Table
        label={T.title}
        list={list}
        columns={COLUMNS}
        off={off.idempotency}
        empty={<Empty title={T.empty}>{T.emptyHow}</Empty>}
        acts={(item) => (
          <div class="actions">
            <Act
              label={T.ran}
              about={item.id}
              testId="resolve-ran"
              question={T.ranQuestion(item.operation, item.id)}
              act={() => resolve(item, "ran")}
            />
            <Act
              label={T.didNotRun}
              about={item.id}
              testId="resolve-did-not-run"
              tone="danger"
              question={T.didNotRunQuestion(item.operation, item.id)}
              act={() => resolve(item, "did_not_run")}
            />
          </div>
        )}
      />
    </>
  );
}

const COLUMNS: Column<Unresolved>[] = [
  { title: T.operation, cell: ({ operation }) => <strong>{operation}</strong> },
  { title: T.request, cell: ({ id }) => <Id value={id} short /> },
  { title: T.principal, cell: ({ principal }) => <Id value={principal} short />, wide: true },
  { title: T.heldUntil, cell: ({ heldUntil }) => <Ago at={heldUntil} /> },
];
