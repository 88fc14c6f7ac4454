/** By the code of a problem, or `code:reason`. Other problems are shown with the title that the gateway sends. */
export const PROBLEMS: Record<string, [title: string, detail?: string]> = {
  unreachable: ["The site could not be reached", "Check that you are online, then try again."],
  invalid_credentials: ["The e-mail address or the password is wrong"],
  rate_limited: ["Too many attempts"],
  email_mismatch: [
    "This e-mail address cannot be used",
    "The invite is for another address, or the address has an account.",
  ],
  invite_unusable: [
    "This invite can no longer be used",
    "It was used, was revoked or has expired. Ask for a new one.",
  ],
  invalid_token: ["This link is incomplete", "Open the whole link that you got."],
  already_set_up: ["The first account exists already", "Sign in, or ask an admin for an invite."],
  email_taken: ["This e-mail address has an account already"],
  password_too_common: [
    "Many people use this password",
    "It is easy to guess. Choose another one, such as a few random words.",
  ],
  "forbidden_policy:user_disabled": [
    "This user is disabled",
    "Enable the user first, then make the link.",
  ],
  reset_unusable: [
    "This link can no longer be used",
    "It was used before, or it is older than an hour. Ask for a new one.",
  ],
  invite_redeem_failed: [
    "It is unknown whether the account was created",
    "Try to sign in. If that fails, open the invite again.",
  ],
  store_unavailable: ["The site does not answer at the moment", "Try again in a few seconds."],
  forbidden_origin: [
    "Your browser did not send this from this site",
    "Reload the page, then try again.",
  ],
  idempotency_outcome_unknown: [
    "It is unknown whether this was done",
    "Check the list below before you try again.",
  ],
  "forbidden_policy:last_admin": [
    "The last admin cannot be changed",
    "Make another user an admin first.",
  ],
  ceremony_unusable: ["This took too long, or was done before", "Start again."],
  "forbidden_policy:passkey_limit": ["You have 20 passkeys", "Remove one of them first."],
  "forbidden_policy:last_factor": [
    "This site requires a second factor",
    "Add another one before you remove the last one.",
  ],
  "forbidden_policy:token_limit": ["You have 100 tokens", "Revoke one of them first."],
};
