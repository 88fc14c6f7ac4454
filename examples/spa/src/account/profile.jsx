import { Facts, When } from "../ui.jsx";

export function Profile({ me }) {
  const { kind, userId, role, sessionId, expiresAt, user } = me;
  return (
    <Facts
      rows={[
        ["E-mail", user?.email, "account-email"],
        ["Name", user?.name, "account-name"],
        ["Role", role, "account-role"],
        ["Kind", kind, "account-kind"],
        ["User", userId, "account-user-id"],
        ["Session", sessionId, "account-session-id"],
        ["Expires", expiresAt && <When key="expires" at={expiresAt} />, "account-expires"],
      ]}
    />
  );
}
