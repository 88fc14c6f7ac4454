export default {
  name: "react-router",
  title: "React Router 7",
  hydrates: true,
  shared: {
    "login.html": "public/login.html",
    "sign-in-again.js": "app/sign-in-again.client.js",
  },
  build: ["react-router", "build"],
  start: (port) => ({
    command: ["react-router-serve", "./build/server/index.js"],
    env: { NODE_ENV: "production", HOST: "127.0.0.1", PORT: String(port) },
  }),
  ready: /http:\/\//,
  // Its router treats both as the same path.
  spellings: [
    ["/notes/one/", 200],
    ["/Notes/one", 200],
  ],
  keepsNoPages: true,
  without: { socket: "its server has no sockets", HMR: "it is not a development server" },
};
