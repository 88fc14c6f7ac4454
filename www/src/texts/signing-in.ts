/** The texts of signing in, and of what leads to it. */

export const SIGNING_IN = {
  signIn: {
    heading: (site: string) => `Sign in to ${site}`,
    submit: "Sign in",
    forgot: "Forgot your password?",
    passkey: "Sign in with a passkey",
    passkeyFailed: "The passkey was not used. Try again, or sign in with your password.",
    passkeyUnknown: "This passkey is not known here. Sign in with your password.",
    noAccount: "No account exists yet.",
    setUp: "Create the first account",
  },

  setup: {
    heading: "Create the first account",
    about: "You become an admin of this site. Everybody else joins with an invite from you.",
    submit: "Create account",
    wrongToken: "This is not the setup token.",
    closed: "The first account cannot be created here",
    closedDetail: "It exists already, or this deployment has no SETUP_TOKEN.",
    toSignIn: "Already have an account?",
  },

  invite: {
    heading: (site: string) => `Join ${site}`,
    about: "Create your account. If the invite names your e-mail address, use that one.",
    submit: "Create account",
    missing: "This link is incomplete",
    missingDetail: "Open the whole link that you got, or ask for a new one.",
    signedIn: (email: string) => `You are signed in as ${email}. The invite is for a new account.`,
    signOut: "Sign out and use the invite",
  },

  reset: {
    heading: "Reset your password",
    about:
      "Enter the e-mail address of your account. If it has one, you get a link to choose a new password.",
    submit: "Send the link",
    sent: "Check your inbox",
    sentDetail: (email: string) =>
      `If ${email} has an account, a link is on its way. It can be used once, within an hour.`,
    again: "Use another e-mail address",
    askAdmin: "This site sends no mail. Ask one of its admins for a link to choose a new password.",
    chooseHeading: "Choose a new password",
    chooseAbout: "You are then signed out everywhere, and sign in with the new password.",
    choose: "Change password",
    revokeTokens:
      "Also revoke my tokens, which programs use to act for me, and invites that nobody has used",
    changed: "Your password is changed",
    changedDetail: "You were signed out everywhere. Sign in with the new password.",
    toSignIn: "Back to sign-in",
    recover: "Are you the last admin?",
    recoverLink: "Use the setup token",
    recoverHeading: "Recover an admin account",
    recoverAbout:
      "For an admin who cannot sign in, and whom no other admin can help. It also removes the second factors of this account.",
  },

  factor: {
    heading: "Confirm it is you",
    aboutCode: "Enter the 6-digit code from your authenticator app.",
    aboutRecovery: "Enter one of your recovery codes. Each of them works once.",
    aboutPassword: "Enter your password to continue.",
    aboutPasskey: "Use the passkey that is stored on your device.",
    submit: "Continue",
    useCode: "Use a code from an app",
    useRecovery: "Use a recovery code",
    usePasskey: "Use a passkey",
    usePassword: "Use your password",
    wrongCode: "This code is wrong, or was used before. Enter the one that the app shows now.",
    wrongRecovery: "This is not one of your unused recovery codes.",
    notYou: "Sign in as somebody else",
    expired: "This took too long",
    expiredDetail: "Sign in again to get a new chance.",
    startAgain: "Start again",
    passkeyFailed: "The passkey was not used. Try again, or choose another way.",
    enrollApp: "Use an authenticator app",
    enrollHeading: "Protect your account",
    enrollAbout: "This site asks for a second step when you sign in. Set it up now.",
  },
} as const;
