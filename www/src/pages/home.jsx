import { useEffect, useState } from "preact/hooks";
import { Act } from "../act.jsx";
import { call, goToLogin, useAnswer } from "../api.js";
import { BreakCard } from "../cards/break.jsx";
import { EventsCard } from "../cards/events.jsx";
import { EdgeCard, UpstreamCard } from "../cards/identity.jsx";
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
  // Later on, a 401 is what somebody who broke their cookie wants to see.
  const isNobody = version === 0 && me?.status === 401;
  useEffect(() => {
    if (isNobody) goToLogin();
  }, [isNobody]);

  return (
    <>
      <Top me={me} />
      <main class="home">
        <CarriedInvite me={me} />
        <section class="hero">
          <h1>The room between the street and the house</h1>
          <p>
            This app and its server know nothing of the edge. Vestibule stands in front of both,
            decides who is asking, and tells the server in headers that it can verify.
          </p>
          <ol class="path" aria-label="The way of a request">
            <li>Browser</li>
            <li class="here">Vestibule</li>
            <li>Origin</li>
          </ol>
        </section>
        <div class="cards">
          <EdgeCard me={me} />
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

/** An invite that was opened with a session: the edge leads away from the login page, fragment and all. */
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
        You opened an invite, which makes a new account, and you are signed in as{" "}
        {me.data.user?.email ?? me.data.userId}.
      </p>
      {problem && <Problem problem={problem} />}
      <Act label="Sign out and use the invite" testId="carried-invite-use" act={redeem} />
    </aside>
  );
}

/** The frame is loaded again with the rest, so that it does not go on showing who is signed out by now. */
function FrameCard({ version }) {
  const [round, setRound] = useState(0);
  return (
    <Card
      title="A protected page"
      about="The origin checks no session at /m/demo. The edge lets nobody without one reach it: a frame is answered 401, a window of its own is led to the login page."
    >
      <iframe key={`${version} ${round}`} src="/m/demo" title="Mock-up demo" data-testid="frame" />
      <button
        type="button"
        class="outline"
        data-testid="frame-reload"
        onClick={() => setRound(round + 1)}
      >
        Load it again
      </button>
    </Card>
  );
}
