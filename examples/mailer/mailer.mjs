// A mailer for Vestibule: a Worker that verifies Vestibule's messages and turns them into mail. With `MAIL_API`, it
// sends the mail by the API of a mail service that takes `{from, to, subject, text}`, such as Resend. Without it, it
// logs the mail.
//
// Secrets: `MAILER_SECRET`, the same as Vestibule's, and `MAIL_KEY`, the key of the mail service.

// A message is refused if its time differs by more than this, in seconds.
const TOLERANCE = 300;

export default {
  async fetch(request, env) {
    const body = await request.text();
    if (!(await isSigned(request.headers, body, env.MAILER_SECRET, Date.now() / 1_000)))
      return new Response("not signed by Vestibule", { status: 401 });
    const { type, data } = JSON.parse(body);
    const write = MAILS[type];
    // A later version may have more types. Accept them, or they would be sent again.
    if (!write) return new Response(null, { status: 204 });
    const mail = { from: env.MAIL_FROM, to: data.to, ...write(data) };
    if (!env.MAIL_API) {
      // Only for trying it out: the link in it is as good as a password.
      console.log(JSON.stringify(mail));
      return new Response(null, { status: 204 });
    }
    const sent = await fetch(env.MAIL_API, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${env.MAIL_KEY}`,
        "Content-Type": "application/json",
        // A message that is sent again is the same mail.
        "Idempotency-Key": request.headers.get("webhook-id"),
      },
      body: JSON.stringify(mail),
    });
    // 5xx: Vestibule sends the message again.
    return new Response(null, { status: sent.ok ? 204 : sent.status });
  },
};

const siteOf = ({ site }) => site.name ?? new URL(site.origin).host;
const greeting = ({ name }) => (name ? `Hello ${name},` : "Hello,");
const MAILS = {
  password_reset: (data) => ({
    subject: `Your new password for ${siteOf(data)}`,
    text: `${greeting(data)}

choose a new password here, once, until ${data.expiresAt}:

${data.url}

If you did not ask for this, you can ignore this mail.`,
  }),
  password_changed: (data) => ({
    subject: `Your password for ${siteOf(data)} was changed`,
    text: `${greeting(data)}

your password was changed at ${data.at}.

If this was not you, choose a new one: ${data.url}`,
  }),
  sign_in_new: (data) => ({
    subject: `New sign-in to ${siteOf(data)}`,
    text: `${greeting(data)}

you signed in with a new device: ${data.device ?? "unknown"}, ${data.place ?? "unknown place"}, at ${data.at}.

If this was not you, end the session and change your password: ${data.url}`,
  }),
};

// Verifies a signature of Standard Webhooks. `crypto.subtle.verify` compares in constant time.
export async function isSigned(headers, body, secret, now) {
  const [id, at] = [headers.get("webhook-id"), headers.get("webhook-timestamp")];
  const [version, tag] = (headers.get("webhook-signature") ?? "").split(",");
  if (version !== "v1" || !tag || Math.abs(now - Number(at)) > TOLERANCE) return false;
  const bytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const raw = bytes(secret.replace(/^whsec_/, ""));
  const key = await crypto.subtle.importKey("raw", raw, hmac, false, ["verify"]);
  const signed = new TextEncoder().encode(`${id}.${at}.${body}`);
  try {
    return await crypto.subtle.verify("HMAC", key, bytes(tag), signed);
  } catch {
    return false;
  }
}
