import { createHash } from "node:crypto";

export function load({ params, url, request }) {
  return {
    seen: {
      name: params.name,
      a: url.searchParams.getAll("a[]"),
      q: url.searchParams.get("q"),
      user: request.headers.get("x-user-id"),
    },
  };
}

export const actions = {
  say: async ({ request }) => ({ said: (await request.formData()).get("text") }),
  upload: async ({ request }) => {
    const file = (await request.formData()).get("file");
    const bytes = Buffer.from(await file.arrayBuffer());
    return { uploaded: `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}` };
  },
};
