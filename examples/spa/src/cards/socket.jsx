import { useEffect, useRef, useState } from "preact/hooks";
import { Card } from "../ui.jsx";

export function SocketCard() {
  const [lines, setLines] = useState([]);
  const [state, setState] = useState("closed");
  const [text, setText] = useState("Hello through Vestibule");
  const socket = useRef();
  const log = (line) => setLines((earlier) => [...earlier, line]);
  useEffect(() => () => socket.current?.close(), []);

  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    setLines([]);
    setState("opening");
    socket.current = new WebSocket(`${scheme}://${location.host}/api/socket`);
    socket.current.onopen = () => setState("open");
    socket.current.onmessage = ({ data }) => log(`← ${data}`);
    socket.current.onclose = ({ code }) => {
      log(`Closed (${code}).`);
      setState("closed");
    };
  };

  const send = (event) => {
    event.preventDefault();
    socket.current.send(text);
    log(`→ ${text}`);
  };

  return (
    <Card title="WebSocket echo" about="The application greets you and echoes your messages.">
      {state === "open" ? (
        <form class="line" onSubmit={send}>
          <input
            aria-label="Message"
            data-testid="socket-input"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <button type="submit" data-testid="socket-send">
            Send
          </button>
        </form>
      ) : (
        <button
          type="button"
          class="outline"
          data-testid="socket-start"
          disabled={state === "opening"}
          onClick={connect}
        >
          Connect
        </button>
      )}
      <ol class="log" data-testid="socket-log" aria-live="polite">
        {lines.map((line, index) => (
          <li key={index}>{line}</li>
        ))}
      </ol>
    </Card>
  );
}
