/** Sends one order twice at the same time under one key, like a double click or a retry. */

import { useState } from "preact/hooks";
import { call } from "../api.js";
import { Card, Facts, Problem } from "../ui.jsx";

export function OrdersCard() {
  const [outcome, setOutcome] = useState();
  const [busy, setBusy] = useState(false);

  const pay = async () => {
    setBusy(true);
    setOutcome(undefined);
    setOutcome(await payTwice());
    setBusy(false);
  };

  return (
    <Card
      title="Pay twice"
      about="Sends the same order twice under one Idempotency-Key. The application receives it once."
    >
      <button
        type="button"
        class="outline"
        data-testid="orders-pay"
        aria-busy={busy}
        disabled={busy}
        onClick={pay}
      >
        Pay twice
      </button>
      <div data-testid="orders-result" aria-live="polite">
        {outcome?.problem && <Problem problem={outcome.problem} />}
        {outcome?.answers && (
          <Facts
            rows={[
              ["First", describe(outcome.answers[0]), "orders-first"],
              ["Second", describe(outcome.answers[1]), "orders-second"],
              ["Orders", `${outcome.made} made by the application`, "orders-made"],
            ]}
          />
        )}
      </div>
    </Card>
  );
}

/** Returns both answers, and how many orders the application has made. */
async function payTwice() {
  const key = crypto.randomUUID();
  const order = () => call("POST", "/api/orders", { json: { item: "a door" }, key });
  const count = () => call("GET", "/api/orders");
  const before = await count();
  const answers = await Promise.all([order(), order()]);
  const after = await count();
  const failed = [before, ...answers, after].find(({ ok }) => !ok);
  if (failed) return { problem: failed.problem };
  return { answers, made: after.data.orders - before.data.orders };
}

function describe({ status, data, replayed }) {
  return `${status}, order ${data.order}${replayed ? ", replayed" : ""}`;
}
