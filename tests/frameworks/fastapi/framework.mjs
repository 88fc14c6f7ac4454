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
  // redirect_slashes: FastAPI redirects to the path without a slash, and the 404 is FastAPI's.
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 404],
  ],
  without: { HMR: "it is not a development server" },
};
