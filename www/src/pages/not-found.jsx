import { Simple } from "../ui.jsx";

export function NotFound() {
  return (
    <Simple title="No such room">
      <p data-testid="not-found">
        There is nothing at <code>{location.pathname}</code>. The edge let you look, and the app has
        no page for it.
      </p>
      <p>
        <a href="/">Back to the start</a>
      </p>
    </Simple>
  );
}
