/** The texts of the console. */

import { SCREENS } from "./console-screens.ts";

export const CONSOLE = {
  app: {
    title: "Console",
    menu: "Menu",
    account: "Account",
    signOut: "Sign out",
    waiting: "waiting for approval",
    groups: [
      ["observe", "Observe"],
      ["people", "People"],
      ["traffic", "Traffic"],
      ["policy", "Policy"],
    ],
    screens: {
      overview: "Overview",
      live: "Live",
      audit: "Audit trail",
      users: "Users",
      tokens: "Tokens",
      invites: "Invites",
      approvals: "Approvals",
      webhooks: "Webhooks",
      keys: "Unknown outcomes",
      checkouts: "Checkouts",
      routes: "Routes",
      features: "Feature flags",
      limits: "Rate limits",
      configuration: "Configuration",
    },
    about: {
      overview: "Requests, refusals, heals and latency over time.",
      live: "Each decision as it happens.",
      audit: "Who did what, in rows that cannot be changed unnoticed.",
      users: "Everybody with an account, their sessions and their tokens.",
      tokens: "What scripts and agents act with, for all users.",
      invites: "Each invite creates one account.",
      approvals: "Requests of machines that wait for a person.",
      webhooks: "Events in the inbox, their deliveries, and what was given up.",
      keys: "Requests that may or may not have run.",
      checkouts: "Payments under way, confirmed by webhooks.",
      routes: "The rules as the edge sees them, and how a request is decided.",
      features: "Which features are on, and for whom.",
      limits: "Who is near a limit, and who is over it.",
      configuration: "The settings as they were parsed, without secrets.",
    },
  },

  parts: {
    copied: (value: string) => `Copied: ${value}`,
    copiedShort: "Copied",
    copy: "Copy",
    clickToCopy: "Click to copy",
    justNow: "just now",
  },

  table: {
    acts: "Actions",
    choose: (name: string) => `Select ${name}`,
    chooseAll: "Select all on this page",
    pages: "Pages",
    first: "First page",
    previous: "Previous",
    next: "Next",
    searching: "Searching",
    searched: (pages: number) =>
      `Searching: ${pages} empty ${pages === 1 ? "page" : "pages"} so far`,
    stop: "Stop",
  },

  filter: { any: "Any", clear: "Clear filters" },

  work: {
    stop: "Stop",
    of: (label: string, done: number, total: number) => `${label}: ${done} of ${total}`,
  },

  detail: { close: "Close" },

  keys: {
    title: "Keyboard shortcuts",
    close: "Close",
    turnOff: "Turn off shortcuts",
    turnOn: "Turn on shortcuts",
    others: [
      ["/", "Search"],
      ["j k", "Next and previous item"],
      ["Enter", "Open the item"],
      ["Esc", "Close the item"],
      ["n p", "Next and previous page"],
      ["p", "Live: pause and resume"],
      ["e", "Explain the open line or row"],
      ["?", "This help"],
    ],
  },

  /** By the name of the feature in the settings. */
  off: {
    metrics: {
      title: "Nothing is counted",
      how: "Add the Durable Object binding METRICS to the configuration and deploy. The numbers begin then.",
    },
    audit: {
      title: "There is no audit trail",
      how: 'Add the Durable Object binding AUDIT, and audit = "best_effort" or "required" to the rules that matter.',
    },
    tokens: {
      title: "There are no tokens on this site",
      how: "CREDENTIALS is empty. Remove it, or list the kinds of tokens that scripts and agents may use.",
    },
    approvals: {
      title: "Nothing needs an approval",
      how: 'Add confirm = "human" to a rule, and the Durable Object binding CONFIRMATIONS.',
    },
    webhooks: {
      title: "There is no inbox",
      how: 'Add the Durable Object binding INBOX, and a webhook with delivery = "inbox".',
    },
    idempotency: {
      title: "No request has an idempotency key",
      how: 'Add the Durable Object binding LEDGER, and idempotency = "required" or "optional" to a rule.',
    },
    checkouts: {
      title: "There are no checkouts",
      how: "Add the Durable Object binding CHECKOUTS, and checkout to the rule that starts a payment.",
    },
    features: {
      title: "There are no feature flags",
      how: "Add the KV namespace KV, and feature to a rule.",
    },
  },

  overview: {
    range: "Time range",
    ranges: { "1h": "1 h", "24h": "24 h", "7d": "7 d", "90d": "90 d" } as Record<string, string>,
    rule: "Rule",
    allRules: "All rules",
    empty: "No requests in this time",
    emptyHow: "Choose a longer range, or send a request. It is counted within ten seconds.",
    time: "Time",
    asTable: "Show as a table",
    showAlone: (name: string) => `Show ${name} alone`,
    requests: "Requests by status",
    refusals: "Refusals by reason",
    latency: "Latency of upstream",
    repairs: "Heals and replays",
    repairNames: { heals: "Healed cookies", replays: "Replays", duplicates: "Duplicates" },
    otherReasons: "Other reasons",
    perMinute: (value: number) =>
      `${value.toLocaleString(undefined, { maximumFractionDigits: 1 })} a minute`,
    answers: (value: number) => `of ${value.toLocaleString()} answers`,
    duplicatesToo: (value: number) =>
      `and ${value.toLocaleString()} ${value === 1 ? "duplicate" : "duplicates"}`,
    tiles: {
      requests: "Requests",
      refused: "Refused",
      failed: "5xx",
      latency: "p95 of upstream",
      heals: "Heals",
      replays: "Replays",
    },
    tileLinks: {
      requests: ["live"],
      refused: ["live", { kind: "refused" }],
      replays: ["keys"],
    } as Record<string, [string, Record<string, string>?] | undefined>,
  },

  live: {
    title: "Decisions",
    search: "Rule, operation, reason or request ID",
    kind: "Decision",
    kinds: {
      allow: "Allowed",
      refused: "Refused",
      redirect: "Redirected",
      would_refuse: "Would refuse",
    },
    who: "Principal",
    principals: { user: "User", agent: "Agent", nobody: "Nobody" },
    pause: "Pause",
    resume: "Resume",
    clear: "Clear",
    held: (count: number) => `Paused, ${count} new`,
    states: {
      connecting: "Connecting",
      open: "Connected",
      waiting: "Connecting again",
      off: "Not available",
    },
    dropped: (count: number) => `${count} not shown: more came than fit`,
    empty: "No decision yet",
    emptyHow:
      "Each request to this site appears here, the newest first. The page keeps the last 500.",
    noMatch: "No line matches",
    noMatchHow: "New lines that match appear here.",
    rule: "Rule",
    decision: "Decision",
    status: "Status",
    took: "Took",
    at: "Time",
    explain: "Explain such a request",
    inAudit: "Rows of this operation in the audit trail",
  },

  ...SCREENS,
} as const;
