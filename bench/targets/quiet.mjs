// Vestibule as built, where console.log does nothing. Its one line a request is for Cloudflare's log;
// workerd on one's own machine formats it in JavaScript and writes it to a pipe instead, which costs
// what no deployment pays.

export { default } from "./index.js";

console.log = () => {};
