/** The inbox of webhooks: what came, how often it was delivered, and what was given up. */

import { useEffect, useState } from "preact/hooks";
import { callSignedIn } from "../../account/list.tsx";
import { CONSOLE } from "../../texts/console.ts";
import { Act } from "../../ui/act.tsx";
import { Facts } from "../../ui/show.tsx";
import { pathWith, usePages } from "../data.ts";
import { Detail, Split } from "../detail.tsx";
import { ChoiceFilter, Filters, TextFilter } from "../filter.tsx";
import { Ago, Chip, Empty, Id, say, type Tone } from "../parts.tsx";
import { usePlace } from "../place.ts";
import { type Column, Table } from "../table.tsx";
import { Progress, useWork } from "../work.tsx";

const { webhooks: T, off } = CONSOLE;

interface WebhookEvent {
  id: string;
  webhook: string;
  eventId: string | null;
  eventType: string | null;
  payloadHash: string;
  state: "received" | "delivered" | "dead";
  attempts: number;
  duplicates: number;
  lastStatus: number | null;
  receivedAt: string;
  nextAttemptAt?: string;
  deliveredAt?: string;
}

export function Webhooks() {
  const place = usePlace();
  const filter = { webhook: place.get("webhook"), state: place.get("state") };
  const path = pathWith("/webhooks", filter);
  const list = usePages<WebhookEvent>(path);
  const work = useWork();
  const [ids, setIds] = useState(new Set<string>());
  // Other events are shown: the choice was about the earlier ones.
  const cursor = place.get("cursor");
  useEffect(() => setIds(new Set()), [path, cursor]);
  const event = list.items?.find(({ id }) => id === place.get("id"));

  const redeliver = (chosen: string[]) =>
    work.run(T.redelivering, async (tell, signal) => {
      const failed: string[] = [];
      let done = 0;
      for (const id of chosen) {
        if (signal.aborted) break;
        const answer = await callSignedIn("POST", `/webhooks/${encodeURIComponent(id)}/redeliver`);
        if (!answer.ok) failed.push(id);
        done += 1;
        tell(done, chosen.length);
      }
      // Those that failed, or that were not reached, stay chosen.
      const rest = [...failed, ...chosen.slice(done)];
      setIds(new Set(chosen.length > 1 ? rest : []));
      say(T.redelivered(done - failed.length, failed.length, chosen.length - done));
      await list.reload();
    });

  return (
    <Split
      list={
        <>
          <Filters names={["webhook", "state"]}>
            <TextFilter name="webhook" label={T.webhook} main />
            <ChoiceFilter name="state" label={T.state} options={Object.entries(T.states)} />
          </Filters>
          {ids.size > 0 && !work.running && (
            <div class="bulk" data-testid="bulk">
              <span>{T.chosen(ids.size)}</span>
              <Act
                label={T.redeliver}
                testId="redeliver-many"
                question={T.redeliverQuestion(ids.size)}
                act={() => redeliver([...ids])}
              />
              <button type="button" class="quiet" onClick={() => setIds(new Set())}>
                {T.chooseNone}
              </button>
            </div>
          )}
          <Progress work={work} />
          <Table
            label={T.title}
            list={list}
            columns={COLUMNS}
            opens
            off={off.webhooks}
            chosen={{ ids, change: setIds, name: nameOf }}
            empty={
              filter.webhook || filter.state ? (
                <Empty title={T.noMatch}>{T.noMatchHow}</Empty>
              ) : (
                <Empty title={T.empty}>{T.emptyHow}</Empty>
              )
            }
          />
        </>
      }
      detail={
        event && (
          <EventDetail key={event.id} event={event} redeliver={() => redeliver([event.id])} />
        )
      }
    />
  );
}

const nameOf = ({ eventType, eventId, id }: WebhookEvent) => eventType ?? eventId ?? id;

const TONES: Record<string, Tone> = { received: "warn", delivered: "good", dead: "bad" };

const COLUMNS: Column<WebhookEvent>[] = [
  {
    title: T.event,
    cell: (event) => <strong>{nameOf(event)}</strong>,
  },
  { title: T.webhook, cell: ({ webhook }) => webhook, wide: true },
  {
    title: T.state,
    cell: ({ state }) => <Chip tone={TONES[state]}>{T.states[state]}</Chip>,
  },
  { title: T.attempts, cell: ({ attempts }) => attempts, numeric: true, wide: true },
  {
    title: T.lastStatus,
    cell: ({ lastStatus }) => statusOf(lastStatus),
    numeric: true,
    wide: true,
  },
  { title: T.received, cell: ({ receivedAt }) => <Ago at={receivedAt} /> },
];

function statusOf(status: number | null) {
  if (status === null) return <span class="soft">–</span>;
  return status === 0 ? T.noAnswer : status;
}

function EventDetail({ event, redeliver }: { event: WebhookEvent; redeliver: () => unknown }) {
  return (
    <Detail title={nameOf(event)}>
      <Facts
        rows={[
          { term: T.id, value: <Id value={event.id} /> },
          { term: T.webhook, value: event.webhook },
          { term: T.eventId, value: event.eventId && <Id value={event.eventId} /> },
          { term: T.type, value: event.eventType },
          {
            term: T.state,
            value: <Chip tone={TONES[event.state]}>{T.states[event.state]}</Chip>,
            testId: "event-state",
          },
          { term: T.attempts, value: String(event.attempts), testId: "event-attempts" },
          { term: T.duplicates, value: String(event.duplicates) },
          { term: T.lastStatus, value: statusOf(event.lastStatus) },
          { term: T.received, value: <Ago at={event.receivedAt} /> },
          { term: T.next, value: event.nextAttemptAt && <Ago at={event.nextAttemptAt} /> },
          { term: T.delivered, value: event.deliveredAt && <Ago at={event.deliveredAt} /> },
          { term: T.hash, value: <Id value={event.payloadHash} /> },
        ]}
      />
      {event.state === "dead" && <p class="hint">{T.deadHow}</p>}
      <div class="actions">
        <Act
          label={T.redeliver}
          about={nameOf(event)}
          testId="redeliver"
          tone="fill"
          question={event.state === "delivered" ? T.againQuestion(nameOf(event)) : undefined}
          act={redeliver}
        />
      </div>
    </Detail>
  );
}
