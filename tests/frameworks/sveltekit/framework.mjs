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
  // Its own redirect to the path without a slash, and its own 404.
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 404],
  ],
  without: { socket: "it takes none", HMR: "it is no development server" },
};
