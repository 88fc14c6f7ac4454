/** Renders the page for the current path. Every link is a real navigation, so that Vestibule handles it. */

import { useErrorBoundary } from "preact/hooks";
import { Account } from "./pages/account.jsx";
import { Deep } from "./pages/deep.jsx";
import { Home } from "./pages/home.jsx";
import { Login } from "./pages/login.jsx";
import { NotFound } from "./pages/not-found.jsx";
import { Simple } from "./ui.jsx";

export function App() {
  const [error] = useErrorBoundary();
  if (error) return <Broken error={error} />;
  const Page = pageOf(location.pathname);
  return <Page />;
}

function pageOf(path) {
  if (path === "/") return Home;
  if (path === "/login") return Login;
  if (path === "/account") return Account;
  if (path === "/deep" || path.startsWith("/deep/")) return Deep;
  return NotFound;
}

function Broken({ error }) {
  return (
    <Simple title="Something went wrong">
      <p>This page could not be displayed: {String(error.message ?? error)}</p>
      <p>
        <a href={location.href}>Reload the page</a>
      </p>
    </Simple>
  );
}
