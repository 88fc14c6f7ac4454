/** Payments under way: a list where the gateway has one, and the way to a checkout by its ref. */

import { callSignedIn } from "../../account/list.tsx";
import { TEXTS } from "../../texts/common.ts";
import { CONSOLE } from "../../texts/console.ts";
import { Act } from "../../ui/act.tsx";
import { PLAIN } from "../../ui/form.tsx";
import { Facts } from "../../ui/show.tsx";
import { ChangeProblem, useChanges } from "../changes.tsx";
import { type PagedList, pathWith, usePages, useResource } from "../data.ts";
import { Detail, Split } from "../detail.tsx";
import { ChoiceFilter, Filters } from "../filter.tsx";
import { Ago, Chip, Empty, FailedToLoad, Id, type Tone } from "../parts.tsx";
import { go, usePlace } from "../place.ts";
import { type Column, Table } from "../table.tsx";

const { checkouts: T } = CONSOLE;

interface Outcome {
  status: "pending" | "confirmed" | "cancelled" | "expired";
  late: boolean;
  evidence: { webhook: string; event: string; eventType: string; at: string } | null;
  expiresAt: string;
}

interface Checkout extends Outcome {
  /** Of the list only. */
  id: string;
  ref: string;
  provider: string;
  history: Outcome[];
}

export function Checkouts() {
  const place = usePlace();
  const list = usePages<Checkout>(pathWith("/checkouts", { status: place.get("status") }));
  const hasList = list.failed?.status !== 404;
  const [ref, provider] = [place.get("ref"), place.get("provider")];
  return (
    <Split
      list={
        <>
          <form
            class="lookup"
            data-testid="checkout-find"
            onSubmit={(event) => {
              event.preventDefault();
              const values = new FormData(event.currentTarget);
              go({ ref: textOf(values, "ref"), provider: textOf(values, "provider"), id: "ref" });
            }}
          >
            <input
              name="ref"
              required
              aria-label={T.ref}
              placeholder={T.ref}
              data-main
              data-testid="checkout-ref"
              defaultValue={ref}
              {...PLAIN}
            />
            <input
              name="provider"
              aria-label={T.provider}
              placeholder={T.providerOptional}
              defaultValue={provider}
              {...PLAIN}
            />
            <button type="submit" data-testid="checkout-show">
              {T.show}
            </button>
          </form>
          {hasList ? <CheckoutList list={list} /> : <Empty title={T.byRef}>{T.byRefHow}</Empty>}
        </>
      }
      detail={
        ref && (
          <CheckoutDetail key={`${provider} ${ref}`} checkout={{ ref, provider }} list={list} />
        )
      }
    />
  );
}

const textOf = (values: FormData, name: string) => String(values.get(name) ?? "").trim();

function CheckoutList({ list }: { list: PagedList<Checkout> }) {
  const place = usePlace();
  return (
    <>
      <Filters names={["status"]}>
        <ChoiceFilter name="status" label={T.status} options={Object.entries(T.statuses)} />
      </Filters>
      <Table
        label={T.title}
        list={list}
        columns={COLUMNS}
        empty={
          place.get("status") ? (
            <Empty title={T.noMatch} />
          ) : (
            <Empty title={T.empty}>{T.emptyHow}</Empty>
          )
        }
      />
    </>
  );
}

const COLUMNS: Column<Checkout>[] = [
  {
    title: T.ref,
    cell: ({ ref, provider }) => <Shown checkout={{ ref, provider }} />,
  },
  { title: T.provider, cell: ({ provider }) => provider },
  { title: T.status, cell: (checkout) => <Status {...checkout} /> },
  { title: T.expires, cell: ({ expiresAt }) => <Ago at={expiresAt} />, wide: true },
];

function Shown({ checkout }: { checkout: { ref: string; provider: string } }) {
  return (
    <a class="open" href={usePlace().href({ ...checkout, id: "ref" })}>
      <strong>{checkout.ref}</strong>
    </a>
  );
}

function Status({ status, late }: Pick<Outcome, "status" | "late">) {
  return (
    <>
      <Chip tone={TONES[status]}>{T.statuses[status] ?? status}</Chip>{" "}
      {late && <Chip tone="warn">{T.late}</Chip>}
    </>
  );
}

const TONES: Record<string, Tone> = {
  pending: "warn",
  confirmed: "good",
  cancelled: "bad",
  expired: undefined,
};

interface DetailProps {
  checkout: { ref: string; provider: string };
  list: PagedList<Checkout>;
}

function CheckoutDetail({ checkout: { ref, provider }, list }: DetailProps) {
  // A ref may have characters that a path cannot have.
  const path = (end: string) => pathWith(`/checkouts/-${end}`, { ref, provider });
  const { data, failed, reload, set } = useResource<Checkout>(path(""));
  const { change, problem } = useChanges(list);
  const cancel = () =>
    change(callSignedIn<Checkout>("POST", path("/cancel")), (changed) => {
      set(() => changed);
      list.reload();
      return { message: T.cancelled(ref) };
    });
  return (
    <Detail title={ref}>
      {failed?.status === 404 && (
        <Empty title={T.unknown} testId="checkout-unknown">
          {T.unknownHow}
        </Empty>
      )}
      {failed && failed.status !== 404 && <FailedToLoad failed={failed} reload={reload} />}
      {!data && !failed && <p aria-busy="true">{TEXTS.loading}</p>}
      {data && (
        <>
          <Facts
            rows={[
              { term: T.ref, value: <Id value={data.ref} /> },
              { term: T.provider, value: data.provider },
              { term: T.status, value: <Status {...data} />, testId: "checkout-status" },
              { term: T.expires, value: <Ago at={data.expiresAt} /> },
              {
                term: T.evidence,
                value: data.evidence && (
                  <>
                    {data.evidence.webhook}: {data.evidence.eventType}{" "}
                    <Id value={data.evidence.event} short /> <Ago at={data.evidence.at} />
                  </>
                ),
              },
            ]}
          />
          <ChangeProblem problem={problem} />
          {data.status === "pending" && (
            <div class="actions">
              <Act
                label={T.cancel}
                about={ref}
                tone="danger"
                testId="checkout-cancel"
                question={T.cancelQuestion(ref)}
                act={cancel}
              />
            </div>
          )}
          {data.history.length > 0 && (
            <section>
              <h3>{T.history}</h3>
              <ul class="lines">
                {data.history.map((outcome) => (
                  <li key={outcome.expiresAt}>
                    <Status {...outcome} /> <Ago at={outcome.expiresAt} />
                  </li>
                ))}
              </ul>
            </section>
          )}
        </>
      )}
    </Detail>
  );
}
