import { useState } from "preact/hooks";
import { call } from "../api.js";
import { returnPath } from "../return-path.js";
import { Problem, Simple } from "../ui.jsx";

export function Login() {
  const [fields, setFields] = useState({ email: "", password: "" });
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState();
  const next = returnPath(location);

  const edit = ({ currentTarget: { name, value } }) => setFields({ ...fields, [name]: value });
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    const answer = await call("POST", "/api/login", { json: fields });
    if (answer.ok) return location.assign(next);
    setProblem(answer.problem);
    setBusy(false);
  };

  return (
    <Simple title="Sign in">
      {next !== "/" && (
        <p class="about">
          You will go on to <code>{next}</code>
        </p>
      )}
      <form onSubmit={submit}>
        <label>
          E-mail
          <input
            data-testid="login-email"
            name="email"
            type="email"
            autocomplete="username"
            placeholder="ada@example.com"
            required
            value={fields.email}
            onInput={edit}
          />
        </label>
        <label>
          Password
          <input
            data-testid="login-password"
            name="password"
            type="password"
            autocomplete="current-password"
            placeholder="correct horse battery"
            required
            value={fields.password}
            onInput={edit}
          />
        </label>
        {problem && <Problem problem={problem} testId="login-error" />}
        <button type="submit" data-testid="login-submit" aria-busy={busy} disabled={busy}>
          Sign in
        </button>
      </form>
      <footer class="demo-users">
        <span>Demo accounts: choose one to fill the form.</span>
        {DEMO_USERS.map((user) => (
          <button key={user.email} type="button" class="ghost" onClick={() => setFields(user)}>
            {user.email} <small>{user.password}</small>
          </button>
        ))}
      </footer>
    </Simple>
  );
}

const DEMO_USERS = [
  { email: "ada@example.com", password: "correct horse battery" },
  { email: "bob@example.com", password: "staple battery horse" },
];
