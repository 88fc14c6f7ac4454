import { Simple } from "../ui.jsx";

export function NotFound() {
  return (
    <Simple title="Page not found">
      <p data-testid="not-found">
        There is no page at <code>{location.pathname}</code>. Vestibule let the request through, but
        the app does not have this page.
      </p>
      <p>
        <a href="/">Back to the start</a>
      </p>
    </Simple>
  );
}
