// Providers of webhooks, and what they give out to verify them with. A request is `{ headers, body, query }`.
// Each provider has
//
// - `endpoint`: its entry in WEBHOOKS, and `secrets`: those in use there, the one of today first;
// - `sdk(body, secret)`: a request as its library signs it or, where that only verifies, its documentation;
// - `sign(random, plan)`: one by the formula, over whatever the plan says, arranged in whatever way;
// - `accepts(request, secret)`: whether the library takes it. It may throw where it does not;
// - `proves(request)`: the formula alone, over the very bytes and with a time that counts;
// - `differences`: where ours and theirs are meant to disagree. `by` says who accepts, `what` and `why` what it
//   is and the reason; `when(request, reason)` recognises it, and `example(body)` is a request that shows it;
// - `missing`: why the library is not there, if it is not.

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
