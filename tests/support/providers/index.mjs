// Webhook providers, with the libraries that they publish for verification. A request is `{ headers, body, query }`.
// Each provider has
//
// - `endpoint`: its entry in WEBHOOKS, and `secrets`: its secrets, the current one first;
// - `sdk(body, secret)`: returns a request that its library signed or, if the library only verifies, one that is signed
//   as its documentation describes;
// - `sign(random, plan)`: returns a request that is signed by the formula, as the plan says, in a random arrangement;
// - `accepts(request, secret)`: whether the library accepts a request. It may throw if not;
// - `proves(request)`: whether the signature is right by the formula alone: over the exact bytes, with a valid time;
// - `differences`: intended differences between the gateway and the library. `by` is the side that accepts: "ours" is
//   the gateway, "theirs" the library. `what` describes the request and `why` gives the reason. `when(request, reason)`
//   recognizes such a request, and `example(body)` returns one;
// - `missing`: why the library is not installed, if it is not.

import { github, lemonsqueezy, shopify, square } from "./bodies.mjs";
import { paddle, stripe } from "./lists.mjs";
import { slack } from "./slack.mjs";
import { standard, svix } from "./standard.mjs";
import { twilio } from "./twilio.mjs";

export { NOW, PUBLIC } from "./common.mjs";

export const PROVIDERS = [
  standard,
  svix,
  stripe,
  github,
  shopify,
  slack,
  paddle,
  lemonsqueezy,
  twilio,
  square,
].map((provider) => ({ path: `/hooks/${provider.name}`, ...provider }));
