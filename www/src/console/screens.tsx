/** The screens of the console, in the order of the menu. */

import type { ComponentType } from "preact";
import type { CONSOLE } from "../texts/console.ts";
import type { ScreenProps } from "./app.tsx";
import { Audit } from "./audit/audit.tsx";
import { Live } from "./live/live.tsx";
import { Approvals } from "./people/approvals.tsx";
import { Invites } from "./people/invites.tsx";
import { Tokens } from "./people/tokens.tsx";
import { Users } from "./people/users.tsx";
import { Configuration } from "./policy/configuration.tsx";
import { Features } from "./policy/features.tsx";
import { Limits } from "./policy/limits.tsx";
import { Routes } from "./policy/routes.tsx";
import { Checkouts } from "./traffic/checkouts.tsx";
import { Keys } from "./traffic/keys.tsx";
import { Webhooks } from "./traffic/webhooks.tsx";

type Texts = typeof CONSOLE;

export interface Screen {
  name: keyof Texts["app"]["screens"];
  group: Texts["app"]["groups"][number][0];
  /** The letter that opens it, after `g`. */
  letter: string;
  /** The feature without which it is empty, as the settings name it. */
  feature?: keyof Texts["off"];
  Screen?: ComponentType<ScreenProps>;
  /** Loads the screen when it is first shown. */
  load?: () => Promise<ComponentType<ScreenProps>>;
}

export const SCREENS: Screen[] = [
  {
    name: "overview",
    group: "observe",
    letter: "o",
    feature: "metrics",
    load: async () => (await import("./overview/overview.tsx")).Overview,
  },
  { name: "live", group: "observe", letter: "l", feature: "metrics", Screen: Live },
  { name: "audit", group: "observe", letter: "d", feature: "audit", Screen: Audit },
  { name: "users", group: "people", letter: "u", Screen: Users },
  { name: "tokens", group: "people", letter: "t", feature: "tokens", Screen: Tokens },
  { name: "invites", group: "people", letter: "i", Screen: Invites },
  { name: "approvals", group: "people", letter: "a", feature: "approvals", Screen: Approvals },
  { name: "webhooks", group: "traffic", letter: "w", feature: "webhooks", Screen: Webhooks },
  { name: "keys", group: "traffic", letter: "k", feature: "idempotency", Screen: Keys },
  { name: "checkouts", group: "traffic", letter: "c", feature: "checkouts", Screen: Checkouts },
  { name: "routes", group: "policy", letter: "r", Screen: Routes },
  { name: "features", group: "policy", letter: "f", feature: "features", Screen: Features },
  { name: "limits", group: "policy", letter: "m", Screen: Limits },
  { name: "configuration", group: "policy", letter: "s", Screen: Configuration },
];
