/** Feature flags: the configured ones, and their states. */

import { useState } from "preact/hooks";
import { callSignedIn } from "../../account/list.tsx";
import type { Problem as ProblemData } from "../../api.ts";
import { TEXTS } from "../../texts/common.ts";
import { CONSOLE } from "../../texts/console.ts";
import { PLAIN } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { usePages, useResource } from "../data.ts";
import { Detail, Split } from "../detail.tsx";
import { Chip, Empty, FailedToLoad, say } from "../parts.tsx";
import { go, usePlace } from "../place.ts";
import { type Column, Table } from "../table.tsx";

const { features: T } = CONSOLE;

interface Feature {
  name: string;
  state: "on" | "off" | "percent";
  percent: number;
  principals: string[];
}

type Listed = Feature & { id: string };

export function Features() {
  const name = usePlace().get("id");
  const list = usePages<Listed>("/features");
  const named = {
    ...list,
    items: list.items?.map((feature) => ({ ...feature, id: feature.name })),
  };
  const hasList = list.failed?.status !== 404;
  return (
    <Split
      list={
        <>
          {!hasList && (
            <>
              <form
                class="lookup"
                data-testid="feature-find"
                onSubmit={(event) => {
                  event.preventDefault();
                  go({ id: String(new FormData(event.currentTarget).get("name")).trim() });
                }}
              >
                <input
                  name="name"
                  required
                  pattern="[a-z0-9_\-]{1,32}"
                  aria-label={T.name}
                  placeholder={T.name}
                  data-main
                  data-testid="feature-name"
                  defaultValue={name}
                  {...PLAIN}
                />
                <button type="submit">{T.show}</button>
              </form>
              <Empty title={T.byName}>{T.byNameHow}</Empty>
            </>
          )}
          {hasList && (
            <Table
              label={T.title}
              list={named}
              columns={COLUMNS}
              opens
              empty={<Empty title={T.empty}>{T.emptyHow}</Empty>}
            />
          )}
        </>
      }
      detail={
        name && (
          <FeatureDetail
            key={name}
            name={name}
            saved={(feature) => hasList && list.put({ ...feature, id: feature.name })}
          />
        )
      }
    />
  );
}

const COLUMNS: Column<Listed>[] = [
  { title: T.name, cell: ({ name }) => <strong>{name}</strong> },
  { title: T.state, cell: (feature) => <State feature={feature} /> },
  {
    title: T.principals,
    cell: ({ principals }) => principals.length,
    numeric: true,
    wide: true,
  },
];

function State({ feature: { state, percent } }: { feature: Feature }) {
  const tone = state === "on" ? "good" : state === "percent" ? "warn" : undefined;
  return <Chip tone={tone}>{state === "percent" ? T.percentOf(percent) : T.states[state]}</Chip>;
}

function FeatureDetail({ name, saved }: { name: string; saved: (feature: Feature) => void }) {
  const path = `/features/${encodeURIComponent(name)}`;
  const { data, failed, reload, set } = useResource<Feature>(path);
  return (
    <Detail title={name}>
      {failed?.status === 404 && <Empty title={T.invalid}>{T.invalidHow}</Empty>}
      {failed && failed.status !== 404 && <FailedToLoad failed={failed} reload={reload} />}
      {!data && !failed && <p aria-busy="true">{TEXTS.loading}</p>}
      {data && (
        <Edit
          feature={data}
          path={path}
          saved={(feature) => {
            set(() => feature);
            saved(feature);
          }}
        />
      )}
    </Detail>
  );
}

interface EditProps {
  feature: Feature;
  path: string;
  saved: (feature: Feature) => void;
}

/** What was chosen stays until it is saved. */
function Edit({ feature, path, saved }: EditProps) {
  const [state, setState] = useState(feature.state);
  const [percent, setPercent] = useState(feature.percent);
  const [principals, setPrincipals] = useState(feature.principals.join("\n"));
  const [problem, setProblem] = useState<ProblemData>();
  const [busy, setBusy] = useState(false);
  const save = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem(undefined);
    const ids = principals.split(/\s+/).filter(Boolean);
    const json = { state, percent, principals: ids };
    const answer = await callSignedIn<Feature>("PUT", path, { json });
    setBusy(false);
    if (!answer.ok) return setProblem(answer.problem);
    saved(answer.data);
    say(T.saved(feature.name));
  };
  return (
    <form class="edit" data-testid="feature-edit" onSubmit={save}>
      <p>
        {T.now} <State feature={feature} />
      </p>
      <fieldset>
        <legend>{T.state}</legend>
        {(["off", "percent", "on"] as const).map((value) => (
          <label key={value}>
            <input
              type="radio"
              name="state"
              value={value}
              data-testid={`feature-${value}`}
              checked={state === value}
              onChange={() => setState(value)}
            />
            {T.states[value]}
            <small>{T.means[value]}</small>
          </label>
        ))}
      </fieldset>
      {state === "percent" && (
        <label>
          {T.percent}
          <span class="range">
            <input
              type="range"
              min="0"
              max="100"
              value={percent}
              onInput={({ currentTarget }) => setPercent(Number(currentTarget.value))}
            />
            <output>{percent} %</output>
          </span>
        </label>
      )}
      <label>
        {T.principals}
        <textarea
          rows={3}
          data-testid="feature-principals"
          value={principals}
          aria-describedby="principals-hint"
          {...PLAIN}
          onInput={({ currentTarget }) => setPrincipals(currentTarget.value)}
        />
        <small id="principals-hint">{T.principalsHint}</small>
      </label>
      {problem && <Problem problem={problem} testId="feature-error" />}
      <button type="submit" data-testid="feature-save" aria-busy={busy} aria-disabled={busy}>
        {T.save}
      </button>
    </form>
  );
}
