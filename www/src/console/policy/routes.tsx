/** The route table as the edge sees it, with the explanation of a request beside it. */

import { TEXTS } from "../../texts/common.ts";
import { CONSOLE } from "../../texts/console.ts";
import type { ScreenProps } from "../app.tsx";
import { useResource } from "../data.ts";
import { ChoiceFilter, Filters, TextFilter } from "../filter.tsx";
import { Chip, Empty, FailedToLoad, Off } from "../parts.tsx";
import { usePlace } from "../place.ts";
import { Explain } from "./explain.tsx";

const { routes: T } = CONSOLE;

interface Rule {
  methods: string[];
  path: string;
  access: string;
  operation: string | null;
  destination: string;
  source: "configured" | "built_in";
  /** The checks of the rule besides its access, in words. */
  guards?: string[];
  report?: boolean;
}

interface Table {
  rules: Rule[];
  warnings: string[];
}

export function Routes(_: ScreenProps) {
  return (
    <div class="beside">
      <RouteTable />
      <Explain />
    </div>
  );
}

function RouteTable() {
  const place = usePlace();
  const { data, failed, reload } = useResource<Table>("/routes");
  if (failed?.status === 404 || (data && !Array.isArray(data.rules))) return <Off {...T.off} />;
  if (failed) return <FailedToLoad failed={failed} reload={reload} />;
  if (!data) return <p aria-busy="true">{TEXTS.loading}</p>;
  const words = place.get("q").toLowerCase();
  const [access, source] = [place.get("access"), place.get("source")];
  const rules = data.rules.filter(
    (rule) =>
      (!access || rule.access === access) &&
      (!source || rule.source === source) &&
      [rule.path, rule.operation, ...rule.methods].some((text) =>
        text?.toLowerCase().includes(words),
      ),
  );
  // The operator's own rules come first.
  rules.sort((one, other) => other.source.localeCompare(one.source));
  const all = [...new Set(data.rules.map((rule) => rule.access))].sort();
  return (
    <div class="main-part">
      {data.warnings.length > 0 && (
        <div class="warnings" data-testid="route-warnings">
          <strong>{T.warnings(data.warnings.length)}</strong>
          <ul>
            {data.warnings.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </div>
      )}
      <Filters names={["q", "access", "source"]}>
        <TextFilter name="q" label={T.search} main />
        <ChoiceFilter name="access" label={T.access} options={all.map((name) => [name, name])} />
        <ChoiceFilter name="source" label={T.source} options={Object.entries(T.sources)} />
      </Filters>
      {rules.length === 0 ? (
        <Empty title={T.noMatch} />
      ) : (
        <div class="scroll">
          <table class="list" data-testid="routes">
            <caption class="hidden">{T.title}</caption>
            <thead>
              <tr>
                <th scope="col">{T.path}</th>
                <th scope="col">{T.access}</th>
                <th scope="col" class="wide">
                  {T.checks}
                </th>
                <th scope="col">
                  <span class="hidden">{T.explain}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {rules.map((rule) => (
                <tr key={`${rule.methods} ${rule.path}`} data-testid="route">
                  <td>
                    <span class="method">{rule.methods.join(", ") || T.anyMethod}</span>{" "}
                    <code>{rule.path}</code>
                    {rule.operation && <small>{rule.operation}</small>}
                  </td>
                  <td>
                    <Chip tone={rule.access === "public" ? "warn" : undefined}>{rule.access}</Chip>
                  </td>
                  <td class="wide">
                    {rule.source === "built_in" && <Chip>{T.sources.built_in}</Chip>}{" "}
                    {rule.report && <Chip tone="warn">{T.report}</Chip>}{" "}
                    {rule.guards?.map((guard) => (
                      <Chip key={guard}>{guard}</Chip>
                    ))}
                  </td>
                  <td class="acts">
                    <a
                      class="open"
                      href={place.href({
                        method: rule.methods[0] ?? "GET",
                        url: rule.path,
                        ran: "",
                      })}
                      aria-label={T.explainRule(rule.path)}
                      data-testid="route-explain"
                    >
                      {T.explain}
                    </a>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}
