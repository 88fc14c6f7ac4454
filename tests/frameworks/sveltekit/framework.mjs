export default {
  name: "sveltekit",
  title: "SvelteKit 2 with adapter-node",
  hydrates: true,
  shared: {
    "login.html": "static/login.html",
    "sign-in-again.js": "src/lib/sign-in-again.js",
  },
  build: ["vite", "build"],
  start: (port) => ({
    command: ["node", "build"],
    env: {
      NODE_ENV: "production",
      HOST: "127.0.0.1",
      PORT: String(port),
      HOST_HEADER: "x-forwarded-host",
      PROTOCOL_HEADER: "x-forwarded-proto",
    },
  }),
  ready: /Listening on/,
  // SvelteKit redirects to the path without a slash, and the 404 is SvelteKit's.
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 404],
  ],
  without: { socket: "it has no sockets", HMR: "it is not a development server" },
};
