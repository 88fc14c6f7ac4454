import { useEffect, useRef, useState } from "preact/hooks";
import { Card } from "../ui.jsx";

export function EventsCard() {
  const [lines, setLines] = useState([]);
  const [running, setRunning] = useState(false);
  const source = useRef();
  const log = (line) => setLines((earlier) => [...earlier, line]);
  const stop = () => {
    source.current?.close();
    setRunning(false);
  };
  useEffect(() => () => source.current?.close(), []);

  const start = () => {
    const began = performance.now();
    setLines([]);
    setRunning(true);
    source.current = new EventSource("/api/events?count=5&interval=400");
    source.current.onmessage = ({ data }) => {
      const { n, of } = JSON.parse(data);
      log(`Event ${n} of ${of} after ${Math.round(performance.now() - began)} ms`);
      // An event source reconnects when its stream ends, so it is closed after the last event.
      if (n === of) stop();
    };
    source.current.onerror = () => {
      log("The stream was refused or broke off.");
      stop();
    };
  };

  return (
    <Card title="Live events" about="Server-sent events, passed through without buffering.">
      <button
        type="button"
        class="outline"
        data-testid="events-start"
        disabled={running}
        onClick={start}
      >
        Listen
      </button>
      <ol class="log" data-testid="events-list" aria-live="polite">
        {lines.map((line, index) => (
          <li key={index}>{line}</li>
        ))}
      </ol>
    </Card>
  );
}
