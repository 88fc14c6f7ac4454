/** The search and the filters of the list of users. They are kept in the fragment of the URL, as in `#users?q=ada`. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ACCOUNT } from "../texts/account.ts";
import { PLAIN } from "../ui/form.tsx";

const { users: T } = ACCOUNT;

/** The parameters of `GET /users` that the fragment may have. */
const NAMES = ["q", "role", "status"] as const;

export type Filter = Partial<Record<(typeof NAMES)[number], string>>;

/** Returns the filter in the fragment, and a function that replaces it. */
export function useFilter() {
  const [filter, setFilter] = useState<Filter>(() => {
    const found = new URLSearchParams(location.hash.split("?")[1]);
    return Object.fromEntries(NAMES.map((name) => [name, found.get(name) ?? ""]));
  });
  // A search that begins later must not take back what was chosen meanwhile.
  const latest = useRef(filter);
  const replace = (changed: Filter) => {
    latest.current = { ...latest.current, ...changed };
    const query = queryOf(latest.current);
    history.replaceState(history.state, "", `#users${query && `?${query}`}`);
    setFilter(latest.current);
  };
  return [filter, replace] as const;
}

/** Returns a query with the parameters that have a value. */
export function queryOf(filter: Filter) {
  const set = NAMES.flatMap((name) => {
    const value = filter[name]?.trim();
    return value ? [[name, value]] : [];
  });
  return new URLSearchParams(set).toString();
}

interface Props {
  filter: Filter;
  onChange: (changed: Filter) => void;
}

export function UserFilter({ filter, onChange }: Props) {
  // The letters so far. A list that arrives while somebody types must not take them back.
  const [typed, setTyped] = useState(filter.q);
  const waiting = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(waiting.current), []);
  // Not at each letter, so that a word is one request.
  const onInput = ({ currentTarget: { value } }: { currentTarget: HTMLInputElement }) => {
    setTyped(value);
    clearTimeout(waiting.current);
    waiting.current = setTimeout(() => onChange({ q: value }), TYPING);
  };
  const choice = (name: "role" | "status", label: string, texts: Record<string, string>) => (
    <div class="field">
      <label for={`users-${name}`}>{label}</label>
      <select
        id={`users-${name}`}
        data-testid={`users-${name}`}
        value={filter[name]}
        onChange={({ currentTarget }) => onChange({ [name]: currentTarget.value })}
      >
        <option value="">{T.any}</option>
        {Object.entries(texts).map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
  return (
    <search class="filter">
      <div class="field">
        <label for="users-q">{T.search}</label>
        <input
          type="search"
          id="users-q"
          data-testid="users-q"
          maxLength={254}
          aria-describedby="users-q-hint"
          {...PLAIN}
          value={typed}
          onInput={onInput}
        />
        <small id="users-q-hint">{T.searchHint}</small>
      </div>
      {choice("role", T.role, T.roles)}
      {choice("status", T.status, T.statuses)}
    </search>
  );
}

/** Milliseconds without a letter, after which a search begins. */
const TYPING = 250;
