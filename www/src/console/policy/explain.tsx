/** How a request would be decided: a form, and each step with its reason. Nothing is executed. */

import { useEffect, useRef, useState } from "preact/hooks";
import { callSignedIn } from "../../account/list.tsx";
import type { Problem as ProblemData } from "../../api.ts";
import { CONSOLE } from "../../texts/console.ts";
import { PLAIN } from "../../ui/form.tsx";
import { Problem } from "../../ui/problem.tsx";
import { Chip, Id, type Tone } from "../parts.tsx";
import { go, screenHref, usePlace } from "../place.ts";

const { explain: T } = CONSOLE;

interface Explanation {
  decision: string;
  reason?: string;
  status?: number;
  wouldRefuse?: { code: string; reason?: string; status: number; step: string };
  rule: { path?: string; methods?: string[]; operation?: string | null; access?: string } | null;
  principal: { kind: string; id: string; role?: string; actorSource?: string } | null;
  steps: { step: string; outcome: string; detail?: string }[];
  complaints?: string[];
  warnings?: string[];
}

/** The link to the explanation of a request. */
export function explainHref(request: { method: string; url: string }) {
  return screenHref("routes", request);
}

export function Explain() {
  const place = usePlace();
  const [method, url] = [place.get("method") || "GET", place.get("url")];
  const [who, setWho] = useState("nobody");
  const [problem, setProblem] = useState<ProblemData>();
  const [found, setFound] = useState<Explanation>();
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const result = useRef<HTMLHeadingElement>(null);
  const hole = /\{[^}]*\}/.exec(url)?.[0];

  // A link from another list fills the form. A placeholder in the pattern of a rule is selected, to be replaced.
  useEffect(() => {
    const input = form.current?.elements.namedItem("url");
    if (!(input instanceof HTMLInputElement) || !url) return;
    input.focus();
    const at = hole ? url.indexOf(hole) : url.length;
    input.setSelectionRange(at, at + (hole?.length ?? 0));
  }, [url, hole]);
  useEffect(() => {
    if (found) result.current?.focus();
  }, [found]);

  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy || !form.current) return;
    const values = new FormData(form.current);
    const text = (name: string) => String(values.get(name) ?? "").trim();
    const headers = headersOf(text("headers"));
    const credential = text("credential");
    if (who === "bearer") headers.authorization = `Bearer ${credential}`;
    if (who === "cookie") headers.cookie = credential;
    if (values.get("navigate")) {
      Object.assign(headers, { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" });
    }
    if (!URL.canParse(text("url"), location.origin)) return setProblem({ title: T.noUrl });
    const json = {
      method: text("method"),
      url: new URL(text("url"), location.origin).href,
      headers,
    };
    // The credential is not in the URL: it would stay in the history.
    go({ method: json.method, url: text("url") }, { replace: true });
    setBusy(true);
    setProblem(undefined);
    const answer = await callSignedIn<Explanation>("POST", "/explain", { json });
    setBusy(false);
    if (!answer.ok) return setProblem(answer.problem);
    setFound(answer.data);
  };

  return (
    <aside class="explain" aria-labelledby="explain-title">
      <h2 id="explain-title">{T.title}</h2>
      <p class="soft">{T.about}</p>
      <form ref={form} data-testid="explain" onSubmit={submit}>
        <div class="request-line">
          <select name="method" aria-label={T.method} key={method} defaultValue={method}>
            {[...new Set([...METHODS, method])].map((name) => (
              <option key={name} selected={name === method}>
                {name}
              </option>
            ))}
          </select>
          <input
            name="url"
            required
            aria-label={T.url}
            placeholder={T.urlPlaceholder}
            data-testid="explain-url"
            key={url}
            defaultValue={url}
            {...PLAIN}
          />
        </div>
        <label>
          {T.who}
          <select
            name="who"
            data-testid="explain-who"
            value={who}
            onChange={({ currentTarget }) => setWho(currentTarget.value)}
          >
            {T.whoOptions.map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
        {who !== "nobody" && (
          <label>
            {who === "bearer" ? T.token : T.cookie}
            <input
              name="credential"
              type="password"
              required
              data-testid="explain-credential"
              {...PLAIN}
              autocomplete="off"
            />
          </label>
        )}
        <label>
          {T.headers}
          <textarea
            name="headers"
            rows={2}
            placeholder={T.headersPlaceholder}
            data-testid="explain-headers"
            {...PLAIN}
          />
        </label>
        <label class="check-line">
          <input type="checkbox" name="navigate" /> {T.navigate}
        </label>
        <button type="submit" data-testid="explain-submit" aria-busy={busy} aria-disabled={busy}>
          {T.submit}
        </button>
      </form>
      {problem && <Problem problem={problem} testId="explain-error" />}
      {found && (
        <section data-testid="explanation" aria-labelledby="explanation-title">
          <h3 id="explanation-title" tabIndex={-1} ref={result}>
            <Chip tone={toneOf(found)}>{found.decision}</Chip> {found.status}
            {found.reason && <span class="soft"> {found.reason}</span>}
          </h3>
          {found.wouldRefuse && <p>{T.wouldRefuse(found.wouldRefuse)}</p>}
          <p class="soft">
            {found.rule?.path ? (
              <>
                {T.rule} <code>{found.rule.path}</code> ({found.rule.access})
              </>
            ) : (
              T.noRule
            )}
            {found.principal && (
              <>
                {" "}
                · {found.principal.kind} <Id value={found.principal.id} short />{" "}
                {found.principal.role}
              </>
            )}
          </p>
          {[...(found.warnings ?? []), ...(found.complaints ?? [])].map((text) => (
            <p key={text} class="warnings">
              {text}
            </p>
          ))}
          <ol class="steps">
            {found.steps.map(({ step, outcome, detail }) => (
              <li key={step} class={outcome} data-step={step}>
                <span class="step">{T.steps[step] ?? step}</span>
                <Chip tone={OUTCOMES[outcome]}>{T.outcomes[outcome] ?? outcome}</Chip>
                {detail && <small>{detail}</small>}
              </li>
            ))}
          </ol>
        </section>
      )}
    </aside>
  );
}

function toneOf({ decision }: Explanation): Tone {
  return decision === "allow" ? "good" : decision === "would_refuse" ? "warn" : "bad";
}

/** Reads lines of `Name: value`. */
function headersOf(text: string): Record<string, string> {
  const lines = text.split("\n").map((line) => line.split(/:(.*)/s));
  return Object.fromEntries(
    lines
      .filter(([name]) => name?.trim())
      .map(([name = "", value = ""]) => [name.trim(), value.trim()]),
  );
}

const OUTCOMES: Record<string, Tone> = {
  passed: "good",
  refused: "bad",
  would_refuse: "warn",
  assumed: "info",
};

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
