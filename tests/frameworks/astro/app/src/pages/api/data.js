export const GET = ({ request }) => Response.json({ user: request.headers.get("x-user-id") });
