/**
 * Explains how a request would be decided: `npm run explain -- METHOD URL [-H "Name: value"]… [--as WHO]
 * [--navigate] [--env NAME] [--config FILE] [--dev] [--json]`, or `--log FILE [--reported]` instead of the method and the URL.
 *
 * The crate decides, without stores: it takes sessions and tokens in the request to be live. A running deployment
 * gives the same explanation with its stores, at `POST /api/explain`.
 */

import { explain } from "../packages/vestibule/cli/explain.mjs";
import { readConfiguration, runTool } from "./lib/configuration.mjs";
import { main } from "./lib/process.mjs";
import { setUp } from "./setup.mjs";

await main(() =>
  explain(process.argv.slice(2), {
    command: "npm run explain --",
    read: async (options) => {
      await setUp("npm", "rust");
      return readConfiguration(options);
    },
    runTool,
  }),
);
