import { waiting } from "../waiting.js";

export function POST() {
  waiting.goOn();
  return Response.json({});
}
