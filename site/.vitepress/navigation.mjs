/**
 * The navigation of the documentation site, by task. Each page of the repository is in it once: site/test checks that.
 * The paths are those of the repository.
 */

const page = (text, file) => ({ text, file });

export const SECTIONS = [
  {
    text: "Start",
    items: [
      page("Overview and quick start", "README.md"),
      page("Tutorial", "docs/tutorial.md"),
      page("Plain files", "docs/plain-files.md"),
      page("Troubleshooting", "docs/troubleshooting.md"),
    ],
  },
  {
    text: "Move from others",
    collapsed: true,
    items: [
      page("Steps, and the way back", "docs/moving/README.md"),
      page("A cookie middleware", "docs/moving/next-middleware.md"),
      page("oauth2-proxy", "docs/moving/oauth2-proxy.md"),
      page("Clerk", "docs/moving/clerk.md"),
      page("Auth.js", "docs/moving/authjs.md"),
      page("better-auth", "docs/moving/better-auth.md"),
      page("Your own auth layer", "docs/coming-from.md"),
    ],
  },
  {
    text: "Recipes",
    collapsed: true,
    items: [
      page("All recipes", "docs/recipes/README.md"),
      page("Next.js", "docs/recipes/next.md"),
      page("SvelteKit", "docs/recipes/sveltekit.md"),
      page("Astro", "docs/recipes/astro.md"),
      page("React Router", "docs/recipes/react-router.md"),
      page("Vite", "docs/recipes/vite.md"),
      page("Django", "docs/recipes/django.md"),
      page("FastAPI", "docs/recipes/fastapi.md"),
      page("Express", "docs/recipes/express.md"),
      page("Hono", "docs/recipes/hono.md"),
      page("Rails", "docs/recipes/rails.md"),
      page("Go", "docs/recipes/go.md"),
      page("GraphQL", "docs/recipes/graphql.md"),
      page("WebSockets", "docs/recipes/sockets.md"),
    ],
  },
  {
    text: "Features",
    items: [
      page("Sessions", "docs/sessions.md"),
      page("Accounts", "docs/accounts.md"),
      page("Agents and tokens", "docs/agents.md"),
      page("Upstream and identity", "docs/upstream.md"),
      page("Cross-site requests", "docs/csrf.md"),
      page("Return paths", "docs/return-paths.md"),
      page("Guards and approvals", "docs/policy.md"),
      page("Idempotency", "docs/idempotency.md"),
      page("Webhooks and checkouts", "docs/webhooks.md"),
    ],
  },
  {
    text: "Operate",
    items: [
      page("Report mode", "docs/report-mode.md"),
      page("The console", "docs/console.md"),
      page("Operations", "docs/operations.md"),
      page("Metrics", "docs/metrics.md"),
      page("Runbooks", "docs/runbooks.md"),
      page("On your own servers", "deploy/README.md"),
      page("Failures", "docs/failures.md"),
      page("Scale and cost", "docs/scale.md"),
      page("Benchmark", "bench/README.md"),
      page("Changelog", "CHANGELOG.md"),
    ],
  },
  {
    text: "Reference",
    items: [
      page("Configuration", "docs/configuration.md"),
      page("API", "docs/api.md"),
      page("Errors", "docs/errors.md"),
      page("Glossary", "docs/glossary.md"),
      page("The npm package", "packages/vestibule/README.md"),
    ],
  },
  {
    text: "Security",
    items: [
      page("Security policy", "SECURITY.md"),
      page("Threat model", "docs/threat-model.md"),
      page("Attacks", "docs/attacks.md"),
      page("Standards", "docs/standards.md"),
      page("Supply chain", "docs/supply-chain.md"),
      page("Conformance", "docs/conformance.md"),
      page("Fuzzing", "fuzz/README.md"),
    ],
  },
  {
    text: "Examples",
    collapsed: true,
    items: [
      page("An agent", "examples/agent/README.md"),
      page("A Worker with its own hooks", "examples/custom-policy/README.md"),
      page("A mailer", "examples/mailer/README.md"),
      page("The sample application", "examples/spa-origin/README.md"),
    ],
  },
  {
    text: "Contribute",
    collapsed: true,
    items: [page("Contributing", "CONTRIBUTING.md"), page("Architecture", "ARCHITECTURE.md")],
  },
];

/** Returns the path on the site of a page of the repository: `docs/recipes/README.md` is `recipes/index.md`. */
export const rewritten = (file) =>
  file.replace(/^docs\//, "").replace(/(^|\/)README\.md$/, "$1index.md");

/** Returns the address of a page on the site. */
export const addressOf = (file) =>
  `/${rewritten(file)}`.replace(/\.md$/, ".html").replace(/\/index\.html$/, "/");

/** The navigation in the form that VitePress reads. */
export const sidebar = SECTIONS.map(({ items, ...section }) => ({
  ...section,
  items: items.map(({ text, file }) => ({ text, link: addressOf(file) })),
}));
