// The binding ASSETS on workerd: files of a folder, with their content types. Vestibule alone calls it.

const TYPES = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  ico: "image/x-icon",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  png: "image/png",
  svg: "image/svg+xml",
  txt: "text/plain; charset=utf-8",
  wasm: "application/wasm",
  webp: "image/webp",
  woff2: "font/woff2",
};

export default {
  async fetch(request, { FILES }) {
    if (!["GET", "HEAD"].includes(request.method)) return new Response(null, { status: 405 });
    const { pathname } = new URL(request.url);
    const path = pathname.endsWith("/") ? `${pathname}index.html` : pathname;
    const file = await FILES.fetch(new URL(path, "http://files"), { method: request.method });
    // The service lists a folder as JSON; only files have this type.
    if (file.headers.get("Content-Type") !== "application/octet-stream") {
      await file.body?.cancel();
      return new Response(null, { status: 404 });
    }
    const headers = new Headers(file.headers);
    const type = TYPES[path.slice(path.lastIndexOf(".") + 1)];
    if (type) headers.set("Content-Type", type);
    return new Response(file.body, { status: file.status, headers });
  },
};
