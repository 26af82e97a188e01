// What key prints.

import type { KeyReport } from "../../operations/key/types.ts";
import type { KeyCommandResult } from "../commands/key.ts";
import { sanitizeLine } from "./sanitize.ts";
import { countOf, formatTime, joinLines, listLines, tableLines } from "./text.ts";

type Slot = KeyReport["slots"][number];

const KEPT_BEFORE =
  "What was stored before is sealed with the earlier key still, until it expires or prune repacks it: who had that key and the storage can read it.";
const NEW_KIT =
  "Keep the new recovery kit apart from the repository, and destroy the old one: it does not open the repository any more, but what was stored before.";

/** What was done, then the keys as they are. */
export function renderKey(report: KeyCommandResult): string {
  return joinLines([...outcomeLines(report), ...slotLines(report.slots), ...dataKeyLines(report)]);
}

function outcomeLines(report: KeyCommandResult): string[] {
  if (report.action === "list") return [];
  const lines = [sentence(report)];
  if (report.action === "rotate") {
    lines.push(KEPT_BEFORE, "");
    if (report.recoveryKitFile !== null)
      lines.push(`The new recovery kit is in ${sanitizeLine(report.recoveryKitFile)}.`);
    lines.push(NEW_KIT);
  } else {
    lines.push("The data key and the recovery kit stay as they are.");
  }
  if (report.action === "rotate") lines.push(...listLines("Left out, to be added again", report.removed.map(slotText)));
  const remaining = report.remaining.map(({ name, reason }) => `${name}: ${reason}`);
  lines.push(
    ...listLines("Still there from before the change; what was removed can be tried against it", remaining),
    "",
  );
  return lines;
}

function sentence({ action, added, removed }: KeyReport): string {
  if (action === "add") return `Added key ${slotText(added!)}.`;
  if (action === "remove")
    return `Removed key ${slotText(removed[0]!)}. Who opened the repository with it may have kept the data key: see "key rotate".`;
  return "Put a new data key into use.";
}

function slotText({ id, kind, label }: Slot): string {
  return `${id} (${kind}${label === null ? "" : `, "${sanitizeLine(label)}"`})`;
}

function slotLines(slots: readonly Slot[]): string[] {
  const columns = ["Key", "Kind", "Made", "Opened now", "Label", "Recipient"].map((heading) => ({ heading }));
  const rows = slots.map(({ createdAt, id, isOpened, kind, label, recipient }) => {
    return [
      id,
      kind,
      createdAt === null ? "" : formatTime(createdAt),
      isOpened ? "yes" : "",
      label ?? "",
      recipient ?? "",
    ];
  });
  return tableLines(columns, rows);
}

function dataKeyLines({ dataKeys }: KeyReport): string[] {
  const [current, ...earlier] = dataKeys;
  const before = earlier.length === 0 ? "" : `; ${countOf(earlier.length, "earlier one")} for what was stored before`;
  return ["", `Data key ${current?.id ?? "none"}${before}.`];
}
