/**
 * A form that a script sends, one request at a time. What was typed stays until the request succeeds.
 *
 * A problem that names a field is shown at that field, any other one above the button. The focus moves to the field or
 * to the problem, so that a screen reader reads it.
 */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Answer, Problem as ProblemData } from "../api.ts";
import type { Settings } from "../settings.ts";
import { TEXTS } from "../texts/common.ts";
import { Problem } from "./problem.tsx";

export interface Field {
  name: string;
  label: string;
  hint?: string;
  /** The name in ids, if it is another one. */
  as?: string;
  /** Makes the field a list of choices: pairs of value and label. */
  options?: readonly (readonly [string, string])[];
  type?: "text" | "email" | "password" | "hidden";
  required?: boolean;
  autocomplete?: string;
  autocapitalize?: string;
  spellcheck?: boolean;
  inputMode?: "numeric";
  pattern?: string;
  onInput?: (event: { currentTarget: { value: string } }) => void;
}

export type Values = Record<string, string>;

export interface FormProps<T> {
  /** The start of all ids. */
  id: string;
  label: string;
  fields: Field[];
  /** The field that a code of a problem is about. It gets the focus. */
  concerns?: Record<string, string>;
  /** Sends the request. Empty fields are left out. */
  send: (values: Values) => Promise<Answer<T>>;
  done: (data: T, values: Values) => void;
  /** Whether another page follows. Then the button stays busy. */
  leaves?: boolean;
  /** Whether the first field gets the focus. */
  focus?: boolean;
  /** More controls, above the button. */
  children?: ComponentChildren;
}

export function Form<T>(props: FormProps<T>) {
  const { id, label, fields, concerns = {}, send, done, leaves, focus, children } = props;
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<ProblemData>();
  const form = useRef<HTMLFormElement>(null);
  const invalid = fields.find(({ name }) => name === problem?.field)?.name;
  const concerned = invalid ?? concerns[problem?.code ?? ""];

  useEffect(() => {
    if (focus) form.current?.querySelector("input")?.focus();
  }, [focus]);
  useEffect(() => {
    if (!problem) return;
    const input = concerned && form.current?.elements.namedItem(concerned);
    const target = input || form.current?.querySelector('[role="alert"]');
    if (target instanceof HTMLElement) target.focus();
  }, [problem, concerned]);

  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy || !form.current) return;
    setBusy(true);
    setProblem(undefined);
    const values: Values = {};
    for (const [name, value] of new FormData(form.current)) {
      if (typeof value === "string" && value !== "") values[name] = value;
    }
    const answer = await send(values);
    if (!answer.ok || !leaves) setBusy(false);
    if (!answer.ok) return setProblem(answer.problem);
    if (!leaves) form.current?.reset();
    done(answer.data, values);
  };

  return (
    <form class="form" ref={form} data-testid={id} onSubmit={submit}>
      {fields.map((field) => (
        <Control
          key={field.name}
          form={id}
          field={field}
          problem={field.name === invalid ? problem : undefined}
          concerned={field.name === concerned}
        />
      ))}
      {children}
      {problem && !invalid && (
        <Problem problem={problem} id={`${id}-error`} testId={`${id}-error`} />
      )}
      <button type="submit" data-testid={`${id}-submit`} aria-busy={busy} aria-disabled={busy}>
        {label}
      </button>
    </form>
  );
}

interface ControlProps {
  form: string;
  field: Field;
  problem: ProblemData | undefined;
  concerned: boolean;
}

function Control({ form, field, problem, concerned }: ControlProps) {
  const { name, label, hint, as = name, options, type, ...rest } = field;
  const id = `${form}-${as}`;
  const described = problem
    ? `${id}-error`
    : [concerned && `${form}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");
  // Preact's types of an input depend on its role, which no field here has.
  const attributes: object = {
    ...rest,
    id,
    name,
    "data-testid": id,
    "aria-invalid": concerned || undefined,
    "aria-describedby": described || undefined,
  };
  if (type === "hidden") return <input type="hidden" {...attributes} />;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {options ? (
        <select {...attributes}>
          {options.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      ) : type === "password" ? (
        <Password id={id} attributes={attributes} />
      ) : (
        <input {...({ type, ...attributes } as object)} />
      )}
      {problem ? (
        <small class="wrong" id={`${id}-error`} data-testid={`${id}-error`}>
          {problem.detail ?? problem.title}
        </small>
      ) : (
        hint && <small id={`${id}-hint`}>{hint}</small>
      )}
    </div>
  );
}

/** Shows a wrong password or code at its field, in words that fit this form. */
export function wrongAt<T>(answer: Answer<T>, field: string, detail: string): Answer<T> {
  if (answer.ok || answer.problem.code !== "invalid_credentials") return answer;
  return { ...answer, problem: { ...answer.problem, field, detail } };
}

/** A password, with a button that shows it. */
function Password({ id, attributes }: { id: string; attributes: object }) {
  const [isShown, setShown] = useState(false);
  return (
    <div class="password">
      <input
        {...({ type: isShown ? "text" : "password", spellcheck: false, ...attributes } as object)}
      />
      <button
        type="button"
        class="quiet"
        aria-label={TEXTS.fields.showPassword}
        aria-pressed={isShown}
        aria-controls={id}
        onClick={() => setShown(!isShown)}
      >
        {isShown ? TEXTS.fields.hide : TEXTS.fields.show}
      </button>
    </div>
  );
}

const { fields: LABELS } = TEXTS;

export const EMAIL: Field = {
  name: "email",
  label: LABELS.email,
  type: "email",
  autocomplete: "username",
  required: true,
};

export const PASSWORD: Field = {
  name: "password",
  label: LABELS.password,
  type: "password",
  autocomplete: "current-password",
  required: true,
};

export function newPassword({ passwordMinLength }: Settings): Field {
  return {
    ...PASSWORD,
    autocomplete: "new-password",
    hint: LABELS.passwordHint(passwordMinLength),
  };
}

export const NAME: Field = { name: "name", label: LABELS.nameOptional, autocomplete: "name" };

/** What is typed as it is shown, without corrections. */
export const PLAIN = { autocomplete: "off", autocapitalize: "off", spellcheck: false } as const;
