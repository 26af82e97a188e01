// `cairn storage test`: tries everything that Cairn needs of a storage, under names of its own, and removes them again.
// A storage is fit when nothing failed; what depends on something that failed is not tried.

import { randomBytes } from "node:crypto";
import { isOperatingError, messageOf } from "../../base/errors.ts";
import { openStorageAt } from "../open-repository.ts";
import { beginPhase } from "../events.ts";
import type { OperationContext } from "../operation.ts";
import { checksFor } from "./checks.ts";
import type { Check, Trial } from "./checks.ts";
import type { StorageCheck, StorageTestReport, StorageTestSettings } from "./types.ts";

/** Tries a storage. Throws OperatingError "usage" for what is no location, and the signal's reason; all else is in the report. */
export async function runStorageTest(
  context: OperationContext,
  settings: StorageTestSettings,
): Promise<StorageTestReport> {
  const { signal } = context;
  const { isReadOnly, location } = settings;
  await using storage = await openStorageAt(location);
  beginPhase(context, "storage-test", `trying ${storage.description}`);
  const trial: Trial = { storage, signal, place: `storage-test/${randomBytes(8).toString("hex")}/` };
  const tried: Tried[] = [];
  // Set before a check that writes: it may be cancelled.
  let mayHaveWritten = false;
  try {
    for (const check of checksFor(isReadOnly)) {
      const isTried = makesSense(check, tried);
      mayHaveWritten ||= isTried && !checksFor(true).includes(check);
      tried.push(isTried ? await tryCheck(check, trial) : notTried(check));
    }
  } finally {
    if (mayHaveWritten) await removeAll(trial);
  }
  const checks = tried.map(({ result }) => result);
  return { location: storage.description, isReadOnly, isFit: checks.every(({ status }) => status === "ok"), checks };
}

interface Tried {
  readonly result: StorageCheck;
  /** True when all others would fail for the same reason: no such bucket, nobody there, wrong keys. */
  readonly isHopeless: boolean;
}

function makesSense({ needs = [] }: Check, before: readonly Tried[]): boolean {
  const isDone = (needed: string): boolean =>
    before.some(({ result }) => result.name === needed && result.status === "ok");
  return before[0]?.isHopeless !== true && needs.every(isDone);
}

const NOTHING_SAID = { message: null, detail: null, hint: null };

function notTried({ name }: Check): Tried {
  return { result: { name, status: "not tried", durationMs: 0, ...NOTHING_SAID }, isHopeless: false };
}

async function tryCheck(check: Check, trial: Trial): Promise<Tried> {
  const { name } = check;
  const startedAtMs = performance.now();
  const failure = await check.run(trial).then(
    () => null,
    (error: unknown) => ({ error }),
  );
  trial.signal.throwIfAborted();
  const durationMs = Math.round(performance.now() - startedAtMs);
  if (failure === null) return { result: { name, status: "ok", durationMs, ...NOTHING_SAID }, isHopeless: false };
  const { detail = null, hint = null } = isOperatingError(failure.error) ? failure.error : {};
  // Rights are missing: the error's own hint leads here.
  const isDenied = isOperatingError(failure.error, "permission_denied") && /storage test/.test(hint ?? "");
  const names = trial.storage.description.startsWith("s3:") ? ` (${check.rightsInS3})` : "";
  const cure = isDenied ? `Allow it: ${check.rights}${names}.` : hint;
  const result = { name, status: "failed", durationMs, message: messageOf(failure.error), detail, hint: cure } as const;
  return { result, isHopeless: !isDenied };
}

/** What cannot be removed stays: the check of deleting has said so. */
async function removeAll({ place, storage }: Trial): Promise<void> {
  for (const name of ["small", "large", "aborted"]) await storage.delete(place + name).catch(() => undefined);
}
