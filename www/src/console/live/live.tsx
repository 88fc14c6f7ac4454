/** Decisions as they happen: server-sent events, at most `KEPT` of them. */

import { useEffect, useRef, useState } from "preact/hooks";
import { callSignedIn } from "../../account/list.tsx";
import { urlOf } from "../../api.ts";
import { CONSOLE } from "../../texts/console.ts";
import { Facts } from "../../ui/show.tsx";
import { decisionTone } from "../audit/audit.tsx";
import { Detail, Split } from "../detail.tsx";
import { ChoiceFilter, Filters, TextFilter } from "../filter.tsx";
import { Chip, Empty, Id, Off } from "../parts.tsx";
import { screenHref, usePlace } from "../place.ts";
import { explainHref } from "../policy/explain.tsx";

const { live: T, off } = CONSOLE;

/** A line of the log. */
interface Decision {
  requestId: string;
  method?: string;
  rule?: string;
  operation?: string;
  decision: string;
  reason?: string;
  step?: string;
  principal?: string;
  status?: number;
  upstreamMs?: number;
  durationMs?: number;
  idempotency?: string;
  [member: string]: unknown;
}

type Line = Decision & { at: number };

type State = "connecting" | "open" | "waiting" | "off";

export function Live() {
  const place = usePlace();
  const [lines, setLines] = useState<Line[]>([]);
  const [state, setState] = useState<State>("connecting");
  const [dropped, setDropped] = useState(0);
  const [isPaused, setPaused] = useState(false);
  const held = useRef<Line[]>([]);
  const [heldCount, setHeldCount] = useState(0);
  const paused = useRef(isPaused);
  paused.current = isPaused;

  useEffect(() => {
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stopped = false;
    let arrived: Line[] = [];
    let frame = 0;
    const show = () => {
      frame = 0;
      const fresh = arrived.reverse();
      arrived = [];
      if (paused.current) {
        held.current = [...fresh, ...held.current].slice(0, KEPT);
        return setHeldCount(held.current.length);
      }
      setLines((old) => [...fresh, ...old].slice(0, KEPT));
    };
    const connect = () => {
      source = new EventSource(urlOf("/metrics/tail"));
      source.addEventListener("open", () => setState("open"));
      source.addEventListener("decision", ({ data }) => {
        arrived.push({ ...(JSON.parse(data) as Decision), at: Date.now() });
        // Under load, many arrive before the next frame. They are rendered together.
        if (!frame) frame = requestAnimationFrame(show);
      });
      source.addEventListener("dropped", ({ data }) => {
        const { count } = Object(JSON.parse(data));
        if (typeof count === "number") setDropped((before) => before + count);
      });
      source.addEventListener("error", onError);
    };
    const onError = async () => {
      setState("waiting");
      // The browser connects again by itself, unless the answer was a refusal. It tells neither status nor reason.
      if (source?.readyState !== EventSource.CLOSED) return;
      // Without a session, this opens the sign-in page.
      const answer = await callSignedIn("GET", "/metrics?step=minute");
      if (stopped) return;
      if (answer.ok || answer.status !== 404) timer = setTimeout(connect, RETRY);
      else setState("off");
    };
    connect();
    return () => {
      stopped = true;
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      source?.close();
    };
  }, []);

  const resume = () => {
    setLines((old) => [...held.current, ...old].slice(0, KEPT));
    held.current = [];
    setHeldCount(0);
    setPaused(false);
  };
  const [words, kind, who] = [place.get("q").toLowerCase(), place.get("kind"), place.get("who")];
  const shown = lines.filter(
    (line) =>
      (!kind || kindOf(line) === kind) &&
      (!who || (line.principal ?? "nobody") === who) &&
      SEARCHED.some((name) =>
        String(line[name] ?? "")
          .toLowerCase()
          .includes(words),
      ),
  );
  // An open line stays, although newer ones have pushed it out of the list.
  const id = place.get("id");
  const opened = useRef<Line>(undefined);
  const found = lines.find(({ requestId }) => requestId === id);
  if (found) opened.current = found;
  const open = found ?? (opened.current?.requestId === id ? opened.current : undefined);
  if (state === "off" && lines.length === 0) return <Off {...off.metrics} />;
  return (
    <Split
      list={
        <>
          <Filters names={["q", "kind", "who"]}>
            <TextFilter name="q" label={T.search} main />
            <ChoiceFilter name="kind" label={T.kind} options={Object.entries(T.kinds)} />
            <ChoiceFilter name="who" label={T.who} options={Object.entries(T.principals)} />
          </Filters>
          <div class="tools">
            <button
              type="button"
              class="plain"
              data-testid="live-pause"
              data-key="p"
              aria-pressed={isPaused}
              onClick={() => (isPaused ? resume() : setPaused(true))}
            >
              {isPaused ? T.resume : T.pause}
            </button>
            <button type="button" class="plain" onClick={() => setLines([])}>
              {T.clear}
            </button>
            <span class={`connection ${state}`} data-testid="live-state" role="status">
              {isPaused ? T.held(heldCount) : T.states[state]}
            </span>
            {dropped > 0 && <span class="soft">{T.dropped(dropped)}</span>}
          </div>
          {shown.length === 0 ? (
            <Empty title={lines.length === 0 ? T.empty : T.noMatch}>
              {lines.length === 0 ? T.emptyHow : T.noMatchHow}
            </Empty>
          ) : (
            <div class="scroll">
              <table class="list live" data-testid="live">
                <caption class="hidden">{T.title}</caption>
                <thead>
                  <tr>
                    <th scope="col">{T.rule}</th>
                    <th scope="col">{T.decision}</th>
                    <th scope="col" class="numeric">
                      {T.status}
                    </th>
                    <th scope="col" class="numeric wide">
                      {T.took}
                    </th>
                    <th scope="col" class="wide">
                      {T.who}
                    </th>
                    <th scope="col">{T.at}</th>
                  </tr>
                </thead>
                <tbody>
                  {shown.map((line) => (
                    <tr
                      key={line.requestId}
                      class="opens"
                      data-id={line.requestId}
                      data-testid="line"
                      aria-selected={line === open}
                    >
                      <td>
                        <a
                          class="open"
                          href={place.href({ id: line.requestId })}
                          aria-current={line === open || undefined}
                        >
                          <span class="method">{line.method}</span> <code>{line.rule ?? "–"}</code>
                        </a>
                      </td>
                      <td>
                        <Chip tone={decisionTone(line.decision)}>{line.decision}</Chip>{" "}
                        <span class="soft">{line.reason}</span>
                      </td>
                      <td class="numeric">{line.status}</td>
                      <td class="numeric wide">{tookOf(line)}</td>
                      <td class="wide">{line.principal ?? <span class="soft">–</span>}</td>
                      <td class="soft">
                        <time dateTime={new Date(line.at).toISOString()}>
                          {new Date(line.at).toLocaleTimeString()}
                        </time>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </>
      }
      detail={open && <LineDetail key={open.requestId} line={open} />}
    />
  );
}

const tookOf = ({ upstreamMs, durationMs }: Line) => {
  const took = upstreamMs ?? durationMs;
  return took === undefined ? "" : `${Math.round(took)} ms`;
};

function kindOf({ decision }: Line) {
  if (decision === "allow") return "allow";
  if (decision.startsWith("redirect")) return "redirect";
  return decision === "would_refuse" ? "would_refuse" : "refused";
}

function LineDetail({ line: { at, ...line } }: { line: Line }) {
  const rows = Object.entries(line).map(([term, value]) => ({
    term,
    value:
      term === "requestId" ? (
        <Id value={String(value)} />
      ) : typeof value === "object" ? (
        <code>{JSON.stringify(value)}</code>
      ) : (
        String(value)
      ),
  }));
  const path = line.rule?.startsWith("/") ? line.rule : "/";
  return (
    <Detail title={line.decision}>
      <Facts rows={[{ term: T.at, value: new Date(at).toLocaleString() }, ...rows]} />
      <p class="links">
        <a
          href={explainHref({ method: line.method ?? "GET", url: path })}
          data-testid="line-explain"
          data-key="e"
        >
          {T.explain}
        </a>
        {line.operation && (
          <a href={screenHref("audit", { operation: line.operation })}>{T.inAudit}</a>
        )}
      </p>
    </Detail>
  );
}

const SEARCHED = ["rule", "operation", "reason", "decision", "requestId", "method"] as const;

/** Milliseconds until the next attempt after a refusal. */
const RETRY = 5_000;

/** The lines that the page keeps. */
const KEPT = 500;
