/**
 * A form that a script sends: its fields, one request at a time, and what was wrong, said where it was.
 *
 * A refusal that names one of the fields is shown beside it. Any other is shown above the button, and
 * leads to the field that `concerns` names for its code, where there is one.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "./ui.jsx";

/**
 * - `id` begins the ids and test ids of everything in it;
 * - `fields` are `{name, label, hint?, options?, as?}` and what an `input` takes; `as` replaces the
 *   name in ids, `options` of `[value, label]` make it a `select`;
 * - `send(values)` asks, leaving out what was left empty; `done(data)` is told of success.
 *
 * The button stays busy where `leaves` says that success leads to another page.
 */
export function Form({ id, label, fields, concerns = {}, send, done, leaves = false }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState();
  const form = useRef();
  const named = fields.find(({ name }) => name === problem?.field)?.name;
  const concerned = named ?? concerns[problem?.code];

  useEffect(() => {
    if (!problem) return;
    const place = concerned && form.current.elements.namedItem(concerned);
    (place || form.current.querySelector('[role="alert"]'))?.focus();
  }, [problem, concerned]);

  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setProblem(undefined);
    const entries = [...new FormData(form.current)].filter(([, value]) => value !== "");
    const answer = await send(Object.fromEntries(entries));
    if (!answer.ok || !leaves) setBusy(false);
    if (!answer.ok) return setProblem(answer.problem);
    form.current.reset();
    done(answer.data);
  };

  return (
    <form class="form" ref={form} data-testid={id} onSubmit={submit}>
      {fields.map((field) => (
        <Field
          key={field.name}
          form={id}
          field={field}
          problem={field.name === named ? problem : undefined}
          concerned={field.name === concerned}
        />
      ))}
      {problem && !named && <Problem problem={problem} id={`${id}-error`} testId={`${id}-error`} />}
      <button type="submit" data-testid={`${id}-submit`} aria-busy={busy} disabled={busy}>
        {label}
      </button>
    </form>
  );
}

function Field({ form, field, problem, concerned }) {
  const { name, label, hint, as = name, options, ...rest } = field;
  const id = `${form}-${as}`;
  const about = [concerned && `${form}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");
  // What is wrong with it stands in the hint's place.
  const described = problem ? `${id}-error` : about;
  const attributes = {
    ...rest,
    id,
    name,
    "data-testid": id,
    "aria-invalid": concerned || undefined,
    "aria-describedby": described || undefined,
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {options ? <Choice options={options} attributes={attributes} /> : <input {...attributes} />}
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

function Choice({ options, attributes }) {
  return (
    <select {...attributes}>
      {options.map(([value, label]) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  );
}
