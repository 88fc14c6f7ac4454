/** An item beside its list. Where there is little room, it takes the place of the list. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { CONSOLE } from "../texts/console.ts";
import { go, usePlace } from "./place.ts";

const { detail: T } = CONSOLE;

/** A list, and the item of it that is open. */
export function Split({ list, detail }: { list: ComponentChildren; detail?: ComponentChildren }) {
  return (
    <div class={detail ? "split open" : "split"}>
      <div class="main-part">{list}</div>
      {detail}
    </div>
  );
}

export function Detail({
  title,
  children,
}: {
  title: ComponentChildren;
  children: ComponentChildren;
}) {
  const id = usePlace().get("id");
  const heading = useRef<HTMLHeadingElement>(null);
  // The focus follows the item.
  useEffect(() => heading.current?.focus(), [id]);
  return (
    <section class="detail" aria-labelledby="detail-title" data-testid="detail">
      <header>
        <h2 id="detail-title" tabIndex={-1} ref={heading}>
          {title}
        </h2>
        <button
          type="button"
          class="quiet close"
          data-testid="detail-close"
          data-key="Escape"
          aria-label={T.close}
          title={T.close}
          onClick={() => {
            go({ id: "" });
            requestAnimationFrame(() => focusRow(id));
          }}
        >
          ✕
        </button>
      </header>
      {children}
    </section>
  );
}

/** Returns the focus to the row of an item that was open. */
function focusRow(id: string) {
  for (const row of document.querySelectorAll<HTMLElement>("tr[data-id], li[data-id]")) {
    if (row.dataset.id === id) row.querySelector<HTMLElement>("a.open")?.focus();
  }
}
