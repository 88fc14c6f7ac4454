import { headers } from "next/headers";
import Link from "next/link";
import { Say, Upload } from "./forms.js";
import { Title } from "./title.js";

export default async function Note({ params, searchParams }) {
  const [{ name }, query, told] = await Promise.all([params, searchParams, headers()]);
  const seen = {
    name: decodeURIComponent(name),
    a: [query["a[]"] ?? []].flat(),
    q: query.q,
    user: told.get("x-user-id"),
  };
  return (
    <main>
      <Title />
      <pre data-testid="seen">{JSON.stringify(seen)}</pre>
      <Link href="/notes/two" prefetch={false} data-testid="link">
        Two
      </Link>
      <Say />
      <Upload />
      <form method="post" action="/api/auth/logout">
        <button type="submit" data-testid="sign-out">
          Sign out
        </button>
      </form>
    </main>
  );
}
