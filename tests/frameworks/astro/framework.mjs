export default {
  name: "astro",
  title: "Astro 7 with its Node adapter",
  shared: { "login.html": "public/login.html" },
  build: ["astro", "build"],
  start: (port) => ({
    command: ["node", "./dist/server/entry.mjs"],
    env: { NODE_ENV: "production", HOST: "127.0.0.1", PORT: String(port) },
  }),
  ready: /listening on/i,
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 404],
  ],
  without: { socket: "its server has no sockets", HMR: "it is not a development server" },
};
