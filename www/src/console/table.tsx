/** A page of a list as a table. Its first column has the link that opens an item beside the list. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { TEXTS } from "../texts/common.ts";
import { CONSOLE } from "../texts/console.ts";
import type { PagedList } from "./data.ts";
import { FailedToLoad, Off } from "./parts.tsx";
import { usePlace } from "./place.ts";

const { table: T } = CONSOLE;

export interface Column<T> {
  title: string;
  cell: (item: T) => ComponentChildren;
  /** Whether it is left out where there is little room. */
  wide?: boolean;
  numeric?: boolean;
}

interface TableProps<T extends { id: string }> {
  label: string;
  list: PagedList<T>;
  columns: Column<T>[];
  empty: ComponentChildren;
  /** What to show if the deployment does not have this list. */
  off?: { title: string; how: string };
  /** Buttons at the end of each row. */
  acts?: (item: T) => ComponentChildren;
  /** Whether an item opens beside the list. */
  opens?: boolean;
  /** Choosing several items. */
  chosen?: { ids: Set<string>; change: (ids: Set<string>) => void; name: (item: T) => string };
}

export function Table<T extends { id: string }>(props: TableProps<T>) {
  const { label, list, columns, empty, off, acts, opens, chosen } = props;
  const place = usePlace();
  const selected = place.get("id");
  const { items, failed, isLoading } = list;
  if (failed?.status === 404 && off) return <Off {...off} />;
  if (failed && !items) return <FailedToLoad failed={failed} reload={list.reload} />;
  if (!items) return <p aria-busy="true">{TEXTS.loading}</p>;
  const isSearching = isLoading && list.searched > 0;
  return (
    <>
      {failed && <FailedToLoad failed={failed} reload={list.reload} />}
      {isSearching && (
        <div class="work" role="status">
          <progress aria-label={T.searching} />
          <span>{T.searched(list.searched)}</span>
          <button type="button" class="plain" data-testid="search-stop" onClick={list.stop}>
            {T.stop}
          </button>
        </div>
      )}
      {items.length === 0 && !isSearching && empty}
      {items.length > 0 && (
        <div class="scroll">
          <table class="list" aria-busy={isLoading} data-testid="list">
            <caption class="hidden">{label}</caption>
            <thead>
              <tr>
                {chosen && (
                  <th class="check-cell">
                    <Everything items={items} chosen={chosen} />
                  </th>
                )}
                {columns.map(({ title, wide, numeric }) => (
                  <th key={title} scope="col" class={classOf(wide, numeric)}>
                    {title}
                  </th>
                ))}
                {acts && (
                  <th scope="col">
                    <span class="hidden">{T.acts}</span>
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {items.map((item) => (
                <tr
                  key={item.id}
                  data-id={item.id}
                  data-testid="row"
                  class={opens ? "opens" : undefined}
                  aria-selected={opens ? item.id === selected : undefined}
                >
                  {chosen && (
                    <td class="check-cell">
                      <input
                        type="checkbox"
                        aria-label={T.choose(chosen.name(item))}
                        checked={chosen.ids.has(item.id)}
                        onChange={({ currentTarget }) => {
                          const ids = new Set(chosen.ids);
                          if (currentTarget.checked) ids.add(item.id);
                          else ids.delete(item.id);
                          chosen.change(ids);
                        }}
                      />
                    </td>
                  )}
                  {columns.map(({ title, cell, wide, numeric }, at) => (
                    <td key={title} class={classOf(wide, numeric)} data-title={title}>
                      {opens && at === 0 ? (
                        <a
                          class="open"
                          href={place.href({ id: item.id })}
                          aria-current={item.id === selected || undefined}
                        >
                          {cell(item)}
                        </a>
                      ) : (
                        cell(item)
                      )}
                    </td>
                  ))}
                  {acts && <td class="acts">{acts(item)}</td>}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Pager list={list} />
    </>
  );
}

function classOf(wide?: boolean, numeric?: boolean) {
  return [wide && "wide", numeric && "numeric"].filter(Boolean).join(" ") || undefined;
}

function Everything<T extends { id: string }>({
  items,
  chosen: { ids, change },
}: {
  items: T[];
  chosen: NonNullable<TableProps<T>["chosen"]>;
}) {
  const box = useRef<HTMLInputElement>(null);
  const count = items.filter(({ id }) => ids.has(id)).length;
  useEffect(() => {
    if (box.current) box.current.indeterminate = count > 0 && count < items.length;
  }, [count, items.length]);
  return (
    <input
      ref={box}
      type="checkbox"
      data-testid="choose-all"
      aria-label={T.chooseAll}
      checked={count === items.length}
      onChange={({ currentTarget }) =>
        change(new Set(currentTarget.checked ? items.map(({ id }) => id) : []))
      }
    />
  );
}

function Pager<T>({ list: { first, previous, next } }: { list: PagedList<T> }) {
  if (!first && !previous && !next) return null;
  return (
    <nav class="pager" aria-label={T.pages}>
      <button
        type="button"
        class="plain"
        data-testid="page-first"
        disabled={!first}
        onClick={first}
      >
        {T.first}
      </button>
      <button
        type="button"
        class="plain"
        data-testid="page-previous"
        data-key="p"
        disabled={!previous}
        onClick={previous}
      >
        {T.previous}
      </button>
      <button
        type="button"
        class="plain"
        data-testid="page-next"
        data-key="n"
        disabled={!next}
        onClick={next}
      >
        {T.next}
      </button>
    </nav>
  );
}
