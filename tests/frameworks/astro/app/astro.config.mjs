import node from "@astrojs/node";
import { defineConfig } from "astro/config";

// The public name of the site. The tests use another one.
const [hostname, port] = (process.env.PUBLIC_HOST ?? "app.example.com").split(":");

export default defineConfig({
  output: "server",
  adapter: node({ mode: "standalone" }),
  security: { allowedDomains: [{ hostname, port, protocol: "https" }] },
});
