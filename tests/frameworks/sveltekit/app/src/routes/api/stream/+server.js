import { waiting } from "$lib/waiting.js";

export function GET() {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(encoder.encode("data: one\n\n"));
      waiting.goOn = () => {
        controller.enqueue(encoder.encode("data: two\n\n"));
        controller.close();
      };
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}
