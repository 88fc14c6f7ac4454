/** What an admin can do to a user. */

import type { Me } from "../me.ts";
import type { Settings } from "../settings.ts";
import { ACCOUNT } from "../texts/account.ts";
import { Act } from "../ui/act.tsx";
import { callSignedIn, type ListState } from "./list.tsx";

const { users: T } = ACCOUNT;

export interface User {
  id: string;
  email: string;
  name: string | null;
  role: "admin" | "user";
  status: "active" | "disabled";
  createdAt: string;
}

interface UserActsProps {
  user: User;
  me: Me;
  settings: Settings;
  /** Reads the user of the page again. */
  refresh: () => void;
  change: ListState<User>["change"];
  /** Shows a new link with which the user chooses a password. */
  onLink: (made: { email: string; url: string }) => void;
}

export function UserActs({ user, me, settings, refresh, change, onLink }: UserActsProps) {
  const isMe = user.id === me.userId;
  const path = `/users/${encodeURIComponent(user.id)}`;
  const patch = async (json: Partial<User>, message: string) => {
    await change(callSignedIn<User>("PATCH", path, { json }), (put) => ({ put, message }));
    if (isMe) refresh();
  };
  const remove = async () => {
    const then = () => ({ drop: user.id, message: T.removed(user.email) });
    await change(callSignedIn("DELETE", path), then);
    if (isMe) refresh();
  };
  const makeLink = () =>
    change(callSignedIn<{ url: string }>("POST", `${path}/reset`), ({ url }) => {
      onLink({ email: user.email, url });
      return { message: "" };
    });
  const signOut = () =>
    change(callSignedIn("DELETE", `/sessions?user=${encodeURIComponent(user.id)}`), () => ({
      message: T.signedOut(user.email),
    }));
  const removeFactors = () =>
    change(callSignedIn("DELETE", `${path}/factors`), () => ({
      message: T.factorsRemoved(user.email),
    }));
  return (
    <>
      {!isMe && user.status === "active" && (
        <Act
          label={T.signOut}
          about={user.email}
          testId="user-sign-out"
          question={T.signOutQuestion(user.email)}
          act={signOut}
        />
      )}
      {!isMe && settings.passwords && (
        <Act label={T.resetLink} about={user.email} testId="user-reset" act={makeLink} />
      )}
      {!isMe && settings.secondFactor && (
        <Act
          label={T.removeFactors}
          about={user.email}
          testId="user-remove-factors"
          tone="danger"
          question={T.removeFactorsQuestion(user.email)}
          act={removeFactors}
        />
      )}
      <RoleAndStatus user={user} isMe={isMe} change={patch} remove={remove} />
    </>
  );
}

interface ActsProps {
  user: User;
  isMe: boolean;
  change: (json: Partial<User>, message: string) => Promise<void>;
  remove: () => Promise<void>;
}

function RoleAndStatus({ user, isMe, change, remove }: ActsProps) {
  const { email, role, status } = user;
  return (
    <>
      {role === "admin" ? (
        <Act
          key="role"
          label={T.makeUser}
          about={email}
          testId="user-make-user"
          question={isMe ? T.makeUserQuestion : undefined}
          act={() => change({ role: "user" }, T.nowUser(email))}
        />
      ) : (
        <Act
          key="role"
          label={T.makeAdmin}
          about={email}
          testId="user-make-admin"
          act={() => change({ role: "admin" }, T.nowAdmin(email))}
        />
      )}
      {status === "active" ? (
        <Act
          key="status"
          label={T.disable}
          about={email}
          testId="user-disable"
          question={isMe ? T.disableQuestion : undefined}
          act={() => change({ status: "disabled" }, T.disabled(email))}
        />
      ) : (
        <Act
          key="status"
          label={T.enable}
          about={email}
          testId="user-enable"
          act={() => change({ status: "active" }, T.enabled(email))}
        />
      )}
      <Act
        label={T.remove}
        about={email}
        testId="user-delete"
        tone="danger"
        question={isMe ? `${T.thisIsYou} ${T.removeQuestion(email)}` : T.removeQuestion(email)}
        act={remove}
      />
    </>
  );
}
