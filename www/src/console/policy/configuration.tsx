/** The configuration as the gateway has parsed it, without secrets, and its last mistakes. */

import type { ComponentChildren } from "preact";
import { TEXTS } from "../../texts/common.ts";
import { CONSOLE } from "../../texts/console.ts";
import { useResource } from "../data.ts";
import { Filters, TextFilter } from "../filter.tsx";
import { Chip, Empty, FailedToLoad, Id, Off } from "../parts.tsx";
import { usePlace } from "../place.ts";

const { configuration: T } = CONSOLE;

interface Configuration {
  settings: Record<string, unknown>;
  /** The defaults of absent variables and members. */
  defaults?: Record<string, string>;
  mistakes: string[];
  warnings?: string[];
  version: string;
}

export function Configuration() {
  const { data, failed, reload } = useResource<Configuration>("/config");
  const words = usePlace().get("q").toLowerCase();
  if (failed?.status === 404 || (data && typeof data.settings !== "object")) {
    return <Off {...T.off} />;
  }
  if (failed) return <FailedToLoad failed={failed} reload={reload} />;
  if (!data) return <p aria-busy="true">{TEXTS.loading}</p>;
  const matches = (name: string, value: unknown) =>
    `${name} ${JSON.stringify(value)}`.toLowerCase().includes(words);
  const byName = (one: [string, unknown], other: [string, unknown]) =>
    one[0].localeCompare(other[0]);
  const shown = Object.entries(data.settings)
    .filter(([name, value]) => matches(name, value))
    .sort(byName);
  const defaults = Object.entries(data.defaults ?? {})
    .filter(([name, value]) => matches(name, value))
    .sort(byName);
  return (
    <>
      <p class="soft">
        {T.version} <Id value={data.version} />
      </p>
      <Lines title={T.mistakes} lines={data.mistakes} testId="mistakes" />
      <Lines title={T.warnings} lines={data.warnings ?? []} testId="warnings" />
      <Filters names={["q"]}>
        <TextFilter name="q" label={T.search} main />
      </Filters>
      {shown.length + defaults.length === 0 && <Empty title={T.noMatch} />}
      <Settings entries={shown} testId="settings" />
      {defaults.length > 0 && (
        <details class="create">
          <summary>{T.defaults(defaults.length)}</summary>
          <Settings entries={defaults} testId="defaults" />
        </details>
      )}
    </>
  );
}

function Settings({ entries, testId }: { entries: [string, unknown][]; testId?: string }) {
  if (entries.length === 0) return null;
  return (
    <dl class="settings" data-testid={testId}>
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>
            <code>{name}</code>
          </dt>
          <dd>
            <Value value={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Lines({ title, lines, testId }: { title: string; lines: string[]; testId: string }) {
  if (lines.length === 0) return null;
  return (
    <div class="warnings" data-testid={testId}>
      <strong>{title}</strong>
      <ul>
        {lines.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
    </div>
  );
}

function Value({ value }: { value: unknown }): ComponentChildren {
  if (value === null || value === undefined) return <span class="soft">{T.none}</span>;
  if (Array.isArray(value)) {
    if (value.length === 0) return <span class="soft">{T.none}</span>;
    if (value.every((item) => typeof item !== "object")) return <code>{value.join(", ")}</code>;
    return (
      <details>
        <summary>{T.entries(value.length)}</summary>
        <ol>
          {value.map((item, at) => (
            <li key={at}>
              <Value value={item} />
            </li>
          ))}
        </ol>
      </details>
    );
  }
  if (typeof value === "object") {
    if ("set" in value && Object.keys(value).length === 1) {
      return value.set ? <Chip tone="good">{T.set}</Chip> : <Chip>{T.notSet}</Chip>;
    }
    return <Settings entries={Object.entries(value)} />;
  }
  return <code>{String(value)}</code>;
}
