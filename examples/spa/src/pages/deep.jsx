import { useEffect, useState } from "preact/hooks";
import { Facts, Simple } from "../ui.jsx";

export function Deep() {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const update = () => setPlace(here());
    update();
    addEventListener("hashchange", update);
    return () => removeEventListener("hashchange", update);
  }, []);

  return (
    <Simple title="A deep link">
      <p class="about">Signing in on the way here keeps the whole address.</p>
      <p>
        <code class="block" data-testid="deep-link">
          {place.path + place.query + place.fragment}
        </code>
      </p>
      <Facts
        rows={[
          ["Path", place.path],
          ["Query", place.query || "none"],
          ["Fragment", place.fragment || "none"],
        ]}
      />
      <p>
        <a href="/">Back to the start</a>
      </p>
    </Simple>
  );
}

function here() {
  return { path: location.pathname, query: location.search, fragment: location.hash };
}
