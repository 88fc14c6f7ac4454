/** The filters above a list. They are in the URL. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { CONSOLE } from "../texts/console.ts";
import { PLAIN } from "../ui/form.tsx";
import { filterBy, usePlace } from "./place.ts";

const { filter: T } = CONSOLE;

export function Filters({ children, names }: { children: ComponentChildren; names: string[] }) {
  const place = usePlace();
  const isSet = names.some((name) => place.get(name));
  const clear = () => filterBy(Object.fromEntries(names.map((name) => [name, ""])));
  return (
    <search class="filters">
      {children}
      {isSet && (
        <button type="button" class="quiet" data-testid="filter-clear" onClick={clear}>
          {T.clear}
        </button>
      )}
    </search>
  );
}

/** A text that filters. The list follows a moment after the last letter. */
export function TextFilter({
  name,
  label,
  placeholder,
  main,
}: {
  name: string;
  label: string;
  placeholder?: string;
  /** Whether the key `/` leads here. */
  main?: boolean;
}) {
  const place = usePlace();
  const value = place.get(name);
  const [typed, setTyped] = useState(value);
  const waiting = useRef<ReturnType<typeof setTimeout>>(undefined);
  const sent = useRef(value);
  useEffect(() => () => clearTimeout(waiting.current), []);
  // The browser's buttons, or a link, have changed the filter.
  useEffect(() => {
    if (value !== sent.current) setTyped(value);
    sent.current = value;
  }, [value]);
  const send = (text: string) => {
    clearTimeout(waiting.current);
    sent.current = text.trim();
    filterBy({ [name]: text.trim() }, { replace: true });
  };
  return (
    <input
      type="search"
      name={name}
      aria-label={label}
      placeholder={placeholder ?? label}
      data-testid={`filter-${name}`}
      data-main={main || undefined}
      maxLength={254}
      {...PLAIN}
      value={typed}
      onInput={({ currentTarget: { value: text } }) => {
        setTyped(text);
        clearTimeout(waiting.current);
        waiting.current = setTimeout(() => send(text), TYPING);
      }}
      onKeyDown={(event) => {
        if (event.key === "Enter") send(event.currentTarget.value);
      }}
    />
  );
}

export function ChoiceFilter({
  name,
  label,
  options,
}: {
  name: string;
  label: string;
  options: readonly (readonly [value: string, text: string])[];
}) {
  const place = usePlace();
  return (
    <label class="choice">
      <span>{label}</span>
      <select
        name={name}
        data-testid={`filter-${name}`}
        value={place.get(name)}
        onChange={({ currentTarget }) => filterBy({ [name]: currentTarget.value })}
      >
        <option value="">{T.any}</option>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A point in time that filters. The URL has it in UTC. */
export function TimeFilter({ name, label }: { name: string; label: string }) {
  const place = usePlace();
  return (
    <label class="choice">
      <span>{label}</span>
      <input
        type="datetime-local"
        name={name}
        data-testid={`filter-${name}`}
        value={localOf(place.get(name))}
        onChange={({ currentTarget: { value } }) => {
          const at = new Date(value);
          filterBy({ [name]: Number.isNaN(at.getTime()) ? "" : at.toISOString() });
        }}
      />
    </label>
  );
}

function localOf(text: string) {
  const at = new Date(text);
  if (!text || Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Milliseconds without a letter, after which a search begins. */
const TYPING = 250;
