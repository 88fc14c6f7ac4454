import { waiting } from "../waiting.server.js";

export function action() {
  waiting.goOn();
  return Response.json({});
}
