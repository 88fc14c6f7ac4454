/** One act, sent twice at the same moment under one key, as by an impatient click or a retry. */

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
      about="Sends the same order two times under one Idempotency-Key. The origin sees it once."
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
              ["First", told(outcome.answers[0]), "orders-first"],
              ["Second", told(outcome.answers[1]), "orders-second"],
              ["Orders", `${outcome.made} made at the origin`, "orders-made"],
            ]}
          />
        )}
      </div>
    </Card>
  );
}

/** How many orders came of it, by the origin's own count, and both answers. */
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

function told({ status, data, replayed }) {
  return `${status}, order ${data.order}${replayed ? ", told again" : ""}`;
}
