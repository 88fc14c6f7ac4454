import { useState } from "preact/hooks";
import { call, useAnswer } from "../api.js";
import { BreakCard } from "../cards/break.jsx";
import { EventsCard } from "../cards/events.jsx";
import { EdgeCard, UpstreamCard } from "../cards/identity.jsx";
import { SocketCard } from "../cards/socket.jsx";
import { UploadCard } from "../cards/upload.jsx";
import { Brand, Card, Problem, useTitle } from "../ui.jsx";

export function Home() {
  useTitle("Vestibule");
  const [version, setVersion] = useState(0);
  const me = useAnswer("/api/auth/me", version);
  const whoami = useAnswer("/api/whoami", version);
  const refresh = () => setVersion((n) => n + 1);

  return (
    <>
      <header class="top">
        <Brand />
        <Session me={me} />
      </header>
      <main class="home">
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
          <FrameCard />
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

/** Who is signed in, and the way out. */
function Session({ me }) {
  const [problem, setProblem] = useState();
  const signOut = async () => {
    const answer = await call("POST", "/api/auth/logout");
    if (answer.ok) return location.assign("/login");
    setProblem(answer.problem);
  };
  if (me?.status === 401) {
    return (
      <a class="button" href="/login?next=/">
        Sign in
      </a>
    );
  }
  return (
    <div class="session">
      {problem && <Problem problem={problem} testId="logout-error" />}
      {me?.ok && <span class="who">{me.data.user?.email ?? me.data.userId}</span>}
      <button type="button" class="outline" data-testid="logout" onClick={signOut}>
        Sign out
      </button>
    </div>
  );
}

function FrameCard() {
  const [round, setRound] = useState(0);
  return (
    <Card
      title="A protected page"
      about="The origin checks no session at /m/demo. The edge lets nobody without one reach it, in a frame or not."
    >
      <iframe key={round} src="/m/demo" title="Mock-up demo" data-testid="frame" />
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
