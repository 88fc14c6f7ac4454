import { useEffect, useState } from "preact/hooks";
import { Act } from "../act.jsx";
import { call, goToLogin, useAnswer } from "../api.js";
import { BreakCard } from "../cards/break.jsx";
import { EventsCard } from "../cards/events.jsx";
import { UpstreamCard, VestibuleCard } from "../cards/identity.jsx";
import { OrdersCard } from "../cards/orders.jsx";
import { SocketCard } from "../cards/socket.jsx";
import { UploadCard } from "../cards/upload.jsx";
import { inviteLink, inviteOf } from "../invite-link.js";
import { Top } from "../top.jsx";
import { Card, Problem, useHash, useTitle } from "../ui.jsx";

export function Home() {
  useTitle("Vestibule");
  const [version, setVersion] = useState(0);
  const me = useAnswer("/api/auth/me", version);
  const whoami = useAnswer("/api/whoami", version);
  const refresh = () => setVersion((n) => n + 1);
  // Only on the first load: later, the page shows the 401 of a broken cookie.
  const isSignedOut = version === 0 && me?.status === 401;
  useEffect(() => {
    if (isSignedOut) goToLogin();
  }, [isSignedOut]);

  return (
    <>
      <Top me={me} />
      <main class="home">
        <CarriedInvite me={me} />
        <section class="hero">
          <h1>An auth gateway in front of your application</h1>
          <p>
            This app and its server need no code for Vestibule. Vestibule runs in front of both,
            identifies each caller, and passes the identity to the server in headers that it can
            verify.
          </p>
          <ol class="path" aria-label="The path of a request">
            <li>Browser</li>
            <li class="here">Vestibule</li>
            <li>Application</li>
          </ol>
        </section>
        <div class="cards">
          <VestibuleCard me={me} />
          <UpstreamCard whoami={whoami} />
          <BreakCard onDone={refresh} />
          <OrdersCard />
          <FrameCard version={version} />
          <EventsCard />
          <SocketCard />
          <UploadCard />
        </div>
      </main>
      <footer class="bottom">
        <a href="/deep/a/b?tab=2#section">A deep link</a>
        <a href="/nowhere">A page that does not exist</a>
      </footer>
    </>
  );
}

/** Shows an invite that was opened by a signed-in user. Vestibule redirects them from the login page to here. */
function CarriedInvite({ me }) {
  const token = inviteOf(useHash());
  const [problem, setProblem] = useState();
  if (!token || !me?.ok) return null;
  const redeem = async () => {
    const answer = await call("POST", "/api/auth/logout");
    if (answer.ok) return location.assign(inviteLink(token));
    setProblem(answer.problem);
  };
  return (
    <aside class="notice" data-testid="carried-invite">
      <p>
        You opened an invite for a new account, but you are signed in as{" "}
        {me.data.user?.email ?? me.data.userId}.
      </p>
      {problem && <Problem problem={problem} />}
      <Act label="Sign out and use the invite" testId="carried-invite-use" act={redeem} />
    </aside>
  );
}

/** The frame reloads with the rest of the page, so that it does not show a user who has signed out. */
function FrameCard({ version }) {
  const [round, setRound] = useState(0);
  return (
    <Card
      title="A protected page"
      about="The application does not check sessions at /m/demo. Without a session, Vestibule answers 401 in a frame, and redirects to the login page in a window."
    >
      <iframe key={`${version} ${round}`} src="/m/demo" title="Mock-up demo" data-testid="frame" />
      <button
        type="button"
        class="outline"
        data-testid="frame-reload"
        onClick={() => setRound(round + 1)}
      >
        Reload
      </button>
    </Card>
  );
}
