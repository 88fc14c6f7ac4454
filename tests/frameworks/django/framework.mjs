export default {
  name: "django",
  title: "Django 5.2",
  install: "pip",
  login: "upstream",
  loginPath: "/accounts/login/",
  account: "ada",
  build: ["sh", "-c", "python manage.py migrate -v 0 && python manage.py seed"],
  start: (port, origin) => ({
    command: ["gunicorn", "mysite.wsgi", "--threads", "4", "--bind", `127.0.0.1:${port}`],
    env: { PUBLIC_ORIGIN: origin },
  }),
  ready: /Listening at/,
  // APPEND_SLASH: its own redirect to the path with a slash, and its own 404.
  spellings: [
    ["/notes/one", 200],
    ["/Notes/one/", 404],
  ],
  slash: true,
  keepsNoPages: true,
  without: { socket: "it takes none without Channels", HMR: "it is no development server" },
};
