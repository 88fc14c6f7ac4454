export function loader({ request }) {
  return Response.json({ user: request.headers.get("x-user-id") });
}
