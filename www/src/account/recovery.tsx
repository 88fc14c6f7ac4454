import { useEffect, useRef } from "preact/hooks";
import { ACCOUNT } from "../texts/account.ts";
import { TEXTS } from "../texts/common.ts";

const { security: T } = ACCOUNT;

/** Shows recovery codes, once. */
export function RecoveryCodes({ codes, done }: { codes: string[]; done: () => void }) {
  const heading = useRef<HTMLParagraphElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const file = `data:text/plain;charset=utf-8,${encodeURIComponent(`${codes.join("\n")}\n`)}`;
  return (
    <div class="notice" data-testid="recovery-codes">
      <p tabIndex={-1} ref={heading}>
        {T.recoveryShown}
      </p>
      <ul class="codes">
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ul>
      <div class="actions">
        <a class="button plain" href={file} download={T.recoveryFile}>
          {T.recoveryDownload}
        </a>
        <button type="button" class="fill" data-testid="recovery-done" onClick={done}>
          {TEXTS.done}
        </button>
      </div>
    </div>
  );
}
