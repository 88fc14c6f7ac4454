import { Approvals as List } from "../../account/approvals.tsx";
import type { ScreenProps } from "../app.tsx";

/** The same list as on the account page. It has the requests for this admin, and those of agents. */
export function Approvals({ me }: ScreenProps) {
  return <List me={me} />;
}
