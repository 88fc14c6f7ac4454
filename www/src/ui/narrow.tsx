import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { type Settings, siteName } from "../settings.ts";

/** A page of one column: signing in, and what leads to it. */
export function Narrow({
  settings,
  title,
  children,
}: {
  settings: Settings;
  title: string;
  children: ComponentChildren;
}) {
  useTitle(title, settings);
  return (
    <main class="narrow">
      <Brand settings={settings} />
      <div class="card">
        <h1 tabIndex={-1}>{title}</h1>
        {children}
      </div>
    </main>
  );
}

/** The logo and the name of the site. It leads to the home page. */
export function Brand({ settings }: { settings: Settings }) {
  const { branding, home } = settings;
  return (
    <a class="brand" href={home}>
      {branding.logo ? <img src={branding.logo} alt="" /> : <Mark name={siteName(settings)} />}
      <span>{siteName(settings)}</span>
    </a>
  );
}

/** The first letter of the name, in place of a logo. */
function Mark({ name }: { name: string }) {
  return (
    <span class="mark" aria-hidden="true">
      {name.charAt(0).toUpperCase()}
    </span>
  );
}

export function useTitle(title: string, settings: Settings) {
  const name = siteName(settings);
  useEffect(() => {
    document.title = title.includes(name) ? title : `${title} · ${name}`;
  }, [title, name]);
}
