import { createHash } from "node:crypto";
import { useEffect } from "react";
import { Form, Link } from "react-router";

// The browser keeps no copy, so nobody sees this page by "Back" after a sign-out.
export const headers = () => ({ "Cache-Control": "private, no-store" });

export function loader({ params, request }) {
  const query = new URL(request.url).searchParams;
  return {
    name: params.name,
    a: query.getAll("a[]"),
    q: query.get("q"),
    user: request.headers.get("x-user-id"),
  };
}

export async function action({ request }) {
  const form = await request.formData();
  const file = form.get("file");
  if (!file) return { said: form.get("text") };
  const bytes = Buffer.from(await file.arrayBuffer());
  return { uploaded: `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}` };
}

export default function Note({ loaderData, actionData }) {
  useEffect(() => {
    document.documentElement.dataset.ready = "";
  }, []);
  return (
    <main>
      <h1>Notes</h1>
      <pre data-testid="seen">{JSON.stringify(loaderData)}</pre>
      <Link to="/notes/two" data-testid="link">
        Two
      </Link>
      <Form method="post">
        <input name="text" data-testid="text" />
        <button type="submit" data-testid="send">
          Send
        </button>
      </Form>
      <output data-testid="said">{actionData?.said}</output>
      <Form method="post" encType="multipart/form-data">
        <input type="file" name="file" data-testid="file" />
        <button type="submit" data-testid="upload">
          Upload
        </button>
      </Form>
      <output data-testid="uploaded">{actionData?.uploaded}</output>
      <form method="post" action="/api/auth/logout">
        <button type="submit" data-testid="sign-out">
          Sign out
        </button>
      </form>
    </main>
  );
}
