// The built Vestibule with a console.log that does nothing. On Cloudflare, the platform's log takes the line of each
// request. A local workerd formats it in JavaScript and writes it to a pipe, a cost that no deployment has.

export { default } from "./index.js";

console.log = () => {};
