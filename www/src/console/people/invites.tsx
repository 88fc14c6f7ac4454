import { useState } from "preact/hooks";
import { type Invite, TONES, useInvites } from "../../account/invites.tsx";
import { ACCOUNT } from "../../texts/account.ts";
import { CONSOLE } from "../../texts/console.ts";
import { ChangeProblem, useChanges } from "../changes.tsx";
import { usePages } from "../data.ts";
import { Ago, Chip, Empty, Id } from "../parts.tsx";
import { type Column, Table } from "../table.tsx";

const { invites: T, users: USERS } = ACCOUNT;
const { invites: C } = CONSOLE;

export function Invites() {
  const list = usePages<Invite>("/invites");
  const { change, problem } = useChanges(list);
  const { form, acts } = useInvites({ ...list, change });
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <details
        class="create"
        open={isOpen}
        onToggle={({ currentTarget }) => setOpen(currentTarget.open)}
      >
        <summary data-testid="invite-open" data-key="c">
          {T.create}
        </summary>
        {form}
      </details>
      <ChangeProblem problem={problem} />
      <Table
        label={ACCOUNT.account.sections.invites}
        list={list}
        columns={COLUMNS}
        acts={(invite) => <div class="actions">{acts(invite)}</div>}
        empty={<Empty title={T.empty}>{C.empty}</Empty>}
      />
    </>
  );
}

const COLUMNS: Column<Invite>[] = [
  { title: C.for, cell: ({ email }) => <strong>{email ?? T.anyoneTitle}</strong> },
  {
    title: T.role,
    cell: ({ role }) => (
      <Chip tone={role === "admin" ? "info" : undefined}>{USERS.roles[role]}</Chip>
    ),
  },
  {
    title: C.status,
    cell: ({ status, usedBy }) => (
      <>
        <Chip tone={TONES[status]}>{T.statuses[status] ?? status}</Chip>{" "}
        {usedBy && <Id value={usedBy} short />}
      </>
    ),
  },
  { title: C.created, cell: ({ createdAt }) => <Ago at={createdAt} />, wide: true },
  {
    title: C.expires,
    cell: ({ expiresAt }) => (expiresAt ? <Ago at={expiresAt} /> : C.never),
    wide: true,
  },
  { title: C.id, cell: ({ id }) => <Id value={id} short />, wide: true },
];
