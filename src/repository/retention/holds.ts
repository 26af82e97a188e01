// Holds: marks that keep a restore point whatever the retention rules say. Source: docs/formats/repository.md §8.
// Any mark named `hold-…` holds, also one that cannot be read; releasing deletes them.

import { setTimeout as delay } from "node:timers/promises";
import { OperatingError } from "../../base/errors.ts";
import type { RepositoryContext } from "../context.ts";
import { isId, makeId, MARKS_PREFIX, timeOfId } from "../identifiers.ts";
import type { ManifestObject } from "../manifest-objects.ts";
import { isDamage } from "../restore-point.ts";
import { DEAD_AFTER_MS } from "../run-record.ts";
import type { RunObserver, SeenRun } from "../run-record.ts";
import { openObject, sealObject } from "../sealed-object.ts";
import { EXPIRE_KIND } from "./kinds.ts";

const HOLD_PATTERN = /^hold-(\d.*)$/;
/** How long a hold waits for an expire that is at work and may not have seen it. */
const EXPIRE_WAIT_MS_MAX = 30_000;
const EXPIRE_POLL_MS = 500;

/** A hold, as it is kept. */
export interface HoldMark {
  readonly restorePointId: string;
  readonly at: string;
  /** For people; may be empty. */
  readonly reason: string;
}

/** True for the file name of a hold's mark. */
export function isHoldName(fileName: string): boolean {
  return isId(HOLD_PATTERN.exec(fileName)?.[1] ?? "");
}

/** Names of the holds of a restore point. */
export async function holdNames(
  context: RepositoryContext,
  restorePointId: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of context.storage.list(`${MARKS_PREFIX}${restorePointId}/`, signal)) {
    if (isHoldName(name.split("/").at(-1)!)) names.push(name);
  }
  return names;
}

/** Why a hold's mark says that it holds; a sentence in its place when it cannot be read. */
export async function readHoldReason(context: RepositoryContext, name: string, signal?: AbortSignal): Promise<string> {
  try {
    const object = openObject(context.keyring, name, await context.storage.read(name, undefined, signal));
    const item = object.items[0];
    if (item?.kind !== "mark") return "its mark cannot be read";
    const { reason } = JSON.parse(Buffer.from(await object.load(item)).toString("utf8")) as HoldMark;
    return typeof reason === "string" ? reason : "its mark cannot be read";
  } catch (error) {
    if (isDamage(error) || error instanceof SyntaxError) return "its mark cannot be read";
    throw error;
  }
}

/**
 * Holds a restore point. First the mark is written, then it is waited for an expire that is at work and may not have
 * seen it, then the manifest is looked for: when this returns, no later expire removes it. Throws OperatingError
 * "restore_point_not_found" when it was removed meanwhile, "locked" when the expire does not end.
 */
export async function hold(
  context: RepositoryContext,
  observer: RunObserver,
  target: { readonly manifest: ManifestObject; readonly reason: string },
  signal?: AbortSignal,
): Promise<HoldMark> {
  const { id: restorePointId, name: manifestName } = target.manifest;
  const now = context.clock.now();
  const mark: HoldMark = { restorePointId, at: now.toISOString(), reason: target.reason };
  const name = `${MARKS_PREFIX}${restorePointId}/hold-${makeId(now, context.random)}`;
  const bytes = Buffer.from(JSON.stringify(mark));
  const object = await sealObject(context, name, [{ kind: "mark", encoding: "zstd", bytes }]);
  await context.storage.put(name, object, { ifAbsent: true });
  await untilNoExpire(context, observer, signal);
  if ((await context.storage.head(manifestName, signal)) !== null) return mark;
  await context.storage.delete(name, signal);
  throw new OperatingError("restore_point_not_found", `restore point ${restorePointId} was expired meanwhile`);
}

/** Takes all holds of a restore point away; how many there were. */
export async function release(
  context: RepositoryContext,
  restorePointId: string,
  signal?: AbortSignal,
): Promise<number> {
  const names = await holdNames(context, restorePointId, signal);
  for (const name of names) await context.storage.delete(name, signal);
  return names.length;
}

/** Dead; or of another machine, and its counter, which counts minutes, stands far behind the time since its start. */
function isOver({ counter, record, runId, state }: SeenRun, nowMs: number): boolean {
  if (state !== "unknown") return state === "dead";
  const startedMs = record === null ? timeOfId(runId).getTime() : Date.parse(record.startedAt);
  const renewedMs = startedMs + counter * 60_000;
  return nowMs - renewedMs > 2 * DEAD_AFTER_MS;
}

async function untilNoExpire(
  context: RepositoryContext,
  observer: RunObserver,
  signal: AbortSignal | undefined,
): Promise<void> {
  const beginMs = context.clock.monotonicMs();
  for (;;) {
    const runs = await observer.runs(signal);
    const nowMs = context.clock.now().getTime();
    const expire = runs.find((run) => {
      return (run.record === null || run.record.kind === EXPIRE_KIND) && !isOver(run, nowMs);
    });
    if (expire === undefined) return;
    if (context.clock.monotonicMs() - beginMs >= EXPIRE_WAIT_MS_MAX) {
      const what = expire.record === null ? "a run whose record cannot be read," : "expire";
      throw new OperatingError("locked", `the hold is set, but ${what} ${expire.runId} is at work and may not see it`, {
        hint: "Run the same command again when it has ended.",
        retryable: true,
      });
    }
    await delay(EXPIRE_POLL_MS, undefined, signal && { signal });
  }
}
