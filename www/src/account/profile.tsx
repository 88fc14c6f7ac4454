import type { PartProps } from "../pages/account.tsx";
import { ACCOUNT } from "../texts/account.ts";
import { Facts, When } from "../ui/show.tsx";

const { profile: T } = ACCOUNT;

export function Profile({ me: { userId, role, expiresAt, user } }: PartProps) {
  return (
    <>
      <p class="about">{T.about}</p>
      <Facts
        rows={[
          { term: T.email, value: user?.email, testId: "account-email" },
          { term: T.name, value: user?.name, testId: "account-name" },
          { term: T.role, value: role && T.roles[role], testId: "account-role" },
          { term: T.userId, value: <code>{userId}</code>, testId: "account-user-id" },
          {
            term: T.sessionEnds,
            value: expiresAt && <When at={expiresAt} />,
            testId: "account-expires",
          },
        ]}
      />
    </>
  );
}
