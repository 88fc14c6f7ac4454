import { AUTH_SECRET, UPSTREAM_SECRET } from "../../support/worker.mjs";

export default {
  name: "fastapi",
  title: "FastAPI",
  install: "pip",
  login: "token",
  loginPath: "/login",
  start: (port) => ({
    command: ["uvicorn", "main:app", "--host", "127.0.0.1", "--port", String(port)],
    env: { AUTH_SECRET, UPSTREAM_SECRET },
  }),
  ready: /Uvicorn running/,
  // redirect_slashes: its own redirect to the path without a slash, and its own 404.
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 404],
  ],
  without: { HMR: "it is no development server" },
};
