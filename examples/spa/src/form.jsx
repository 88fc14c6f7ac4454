/**
 * A form that is sent by a script, one request at a time.
 *
 * A problem that names a field is shown next to that field. Any other problem is shown above the button. If `concerns`
 * has a field for the code of the problem, that field gets the focus.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "./ui.jsx";

/**
 * - `id`: the prefix of all ids and test ids in the form
 * - `fields`: `{name, label, hint?, options?, as?}` and attributes of an `input`. `as` replaces the name in ids.
 *   `options`, a list of `[value, label]`, makes the field a `select`
 * - `send(values)`: sends the request; empty fields are left out
 * - `done(data)`: called on success
 * - `leaves`: whether success leads to another page; the button then stays busy
 */
export function Form({ id, label, fields, concerns = {}, send, done, leaves = false }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState();
  const form = useRef();
  const invalidField = fields.find(({ name }) => name === problem?.field)?.name;
  const concernedField = invalidField ?? concerns[problem?.code];

  useEffect(() => {
    if (!problem) return;
    const input = concernedField && form.current.elements.namedItem(concernedField);
    (input || form.current.querySelector('[role="alert"]'))?.focus();
  }, [problem, concernedField]);

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
          problem={field.name === invalidField ? problem : undefined}
          concerned={field.name === concernedField}
        />
      ))}
      {problem && !invalidField && (
        <Problem problem={problem} id={`${id}-error`} testId={`${id}-error`} />
      )}
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
  // A problem of this field replaces its hint.
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
