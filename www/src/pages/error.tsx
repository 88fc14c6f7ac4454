import { type PageProps, start } from "../start.tsx";
import { TEXTS } from "../texts/common.ts";
import { Narrow } from "../ui/narrow.tsx";

function ErrorPage({ settings }: PageProps) {
  return (
    <Narrow settings={settings} title={TEXTS.titles.error}>
      <p class="links">
        <a href={settings.home}>{TEXTS.goHome}</a>
      </p>
    </Narrow>
  );
}

start(ErrorPage);
