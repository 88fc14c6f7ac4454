import { waiting } from "../../../lib/waiting.js";

export function POST() {
  waiting.goOn();
  return Response.json({});
}
