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
  // APPEND_SLASH: Django redirects to the path with a slash, and the 404 is Django's.
  spellings: [
    ["/notes/one", 200],
    ["/Notes/one/", 404],
  ],
  slash: true,
  keepsNoPages: true,
  without: { socket: "it has none without Channels", HMR: "it is not a development server" },
};
