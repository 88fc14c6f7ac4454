/** The audit trail: who did what, and whether its rows are those that were written. */

import { CONSOLE } from "../../texts/console.ts";
import { Facts } from "../../ui/show.tsx";
import { pathWith, usePages } from "../data.ts";
import { Detail, Split } from "../detail.tsx";
import { Filters, TextFilter, TimeFilter } from "../filter.tsx";
import { Ago, Chip, Empty, Id, type Tone } from "../parts.tsx";
import { screenHref, usePlace } from "../place.ts";
import { explainHref } from "../policy/explain.tsx";
import { type Column, Table } from "../table.tsx";
import { Chain } from "./chain.tsx";
import { Export } from "./export.tsx";

const { audit: T, off } = CONSOLE;

export interface AuditRow {
  id: string;
  at: string;
  phase: "begun" | "done";
  requestId: string;
  operation: string;
  rule: string;
  method: string;
  path: string;
  decision: string;
  reason?: string;
  status: number;
  principal: { kind: string; id: string; role?: string } | null;
  actor: {
    source?: string;
    sessionId?: string;
    tokenId?: string;
    agentId?: string;
    taskId?: string;
  } | null;
  confirmedBy?: string;
  confirmationId?: string;
  detail?: string;
  idempotency?: string;
  address?: string;
}

const NAMES = ["operation", "principal", "since", "until"];

export function Audit() {
  const place = usePlace();
  const filter = Object.fromEntries(NAMES.map((name) => [name, place.get(name)]));
  const path = pathWith("/audit", filter);
  const list = usePages<AuditRow>(path);
  const row = list.items?.find(({ id }) => id === place.get("id"));
  const isFiltered = NAMES.some((name) => filter[name]);
  return (
    <Split
      list={
        <>
          <Filters names={NAMES}>
            <TextFilter name="operation" label={T.operation} main />
            <TextFilter name="principal" label={T.principal} />
            <TimeFilter name="since" label={T.since} />
            <TimeFilter name="until" label={T.until} />
          </Filters>
          <div class="tools">
            <Export path={path} />
            <Chain />
          </div>
          <Table
            label={T.title}
            list={list}
            columns={COLUMNS}
            opens
            off={off.audit}
            empty={
              isFiltered ? (
                <Empty title={T.noMatch}>{T.noMatchHow}</Empty>
              ) : (
                <Empty title={T.empty}>{T.emptyHow}</Empty>
              )
            }
          />
        </>
      }
      detail={row && <RowDetail key={row.id} row={row} />}
    />
  );
}

export function decisionTone(decision: string): Tone {
  if (decision === "allow") return "good";
  if (decision.startsWith("redirect") || decision === "policy_answered") return "info";
  return decision === "would_refuse" ? "warn" : "bad";
}

const COLUMNS: Column<AuditRow>[] = [
  {
    title: T.operation,
    cell: ({ operation, detail }) => (
      <>
        <strong>{operation}</strong>
        {detail && <small>{detail}</small>}
      </>
    ),
  },
  {
    title: T.decision,
    cell: ({ decision, phase, status }) => (
      <>
        <Chip tone={decisionTone(decision)}>{decision}</Chip>{" "}
        {phase === "begun" ? <Chip>{T.begun}</Chip> : <span class="soft">{status}</span>}
      </>
    ),
  },
  {
    title: T.principal,
    cell: ({ principal }) =>
      principal ? <Id value={principal.id} short /> : <span class="soft">{T.nobody}</span>,
    wide: true,
  },
  {
    title: T.request,
    cell: ({ method, path }) => (
      <span class="clip" title={`${method} ${path}`}>
        <span class="method">{method}</span> {path}
      </span>
    ),
    wide: true,
  },
  { title: T.at, cell: ({ at }) => <Ago at={at} /> },
];

function RowDetail({ row }: { row: AuditRow }) {
  const { principal, actor } = row;
  return (
    <Detail title={row.operation}>
      <Facts
        rows={[
          { term: T.at, value: <Ago at={row.at} /> },
          {
            term: T.decision,
            value: <Chip tone={decisionTone(row.decision)}>{row.decision}</Chip>,
          },
          { term: T.reason, value: row.reason },
          { term: T.status, value: row.status || T.notYet },
          { term: T.change, value: row.detail },
          { term: T.request, value: `${row.method} ${row.path}` },
          { term: T.rule, value: <code>{row.rule}</code> },
          {
            term: T.principal,
            value: principal && (
              <>
                <Id value={principal.id} /> {principal.role ?? principal.kind}
              </>
            ),
          },
          { term: T.actor, value: actor?.source },
          { term: T.session, value: actor?.sessionId && <Id value={actor.sessionId} /> },
          { term: T.token, value: actor?.tokenId && <Id value={actor.tokenId} /> },
          { term: T.agent, value: actor?.agentId && <Id value={actor.agentId} /> },
          { term: T.task, value: actor?.taskId && <Id value={actor.taskId} /> },
          { term: T.confirmedBy, value: row.confirmedBy && <Id value={row.confirmedBy} /> },
          { term: T.confirmation, value: row.confirmationId && <Id value={row.confirmationId} /> },
          { term: T.key, value: row.idempotency },
          { term: T.address, value: row.address && <Id value={row.address} /> },
          { term: T.requestId, value: <Id value={row.requestId} /> },
          { term: T.id, value: <Id value={row.id} /> },
        ]}
      />
      <p class="links">
        <a
          href={explainHref({ method: row.method, url: row.path })}
          data-testid="audit-explain"
          data-key="e"
        >
          {T.explain}
        </a>
        <a href={screenHref("audit", { operation: row.operation })}>{T.sameOperation}</a>
        {principal && (
          <a href={screenHref("audit", { principal: principal.id })}>{T.samePrincipal}</a>
        )}
        {principal?.kind === "user" && (
          <a href={screenHref("users", { id: principal.id })}>{T.showUser}</a>
        )}
      </p>
    </Detail>
  );
}
