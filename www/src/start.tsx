/** Starts a page: reads the settings, applies the branding, renders. */

import "@picocss/pico/css/pico.min.css";
import "./style.css";
import { type ComponentType, render } from "preact";
import { useErrorBoundary } from "preact/hooks";
import { applyAccent } from "./branding.ts";
import { readSettings, type Settings } from "./settings.ts";
import { TEXTS } from "./texts/common.ts";
import { Narrow } from "./ui/narrow.tsx";

export interface PageProps {
  settings: Settings;
}

export async function start(Page: ComponentType<PageProps>) {
  const settings = await readSettings();
  applyAccent(settings.branding.accent);
  if (settings.branding.logo) {
    document.querySelector('link[rel="icon"]')?.setAttribute("href", settings.branding.logo);
  }
  const root = document.querySelector("#app");
  if (root) render(<Guarded page={Page} settings={settings} />, root);
}

function Guarded({ page: Page, settings }: PageProps & { page: ComponentType<PageProps> }) {
  const [error] = useErrorBoundary();
  if (!error) return <Page settings={settings} />;
  return (
    <Narrow settings={settings} title={TEXTS.broken}>
      <a class="button" href={location.href}>
        {TEXTS.reload}
      </a>
    </Narrow>
  );
}

// A page from the back/forward cache may show data of a user who has signed out.
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) location.reload();
});
