// Tries whether a storage keeps its word that an object is created only where none is (PutOptions.ifAbsent). Some servers
// ignore the condition: there the second of two writers wins, and one of two repositories or restore points is lost.

import { randomBytes } from "node:crypto";
import { isOperatingError, OperatingError } from "../base/errors.ts";
import type { Storage } from "./storage.ts";

/** Writes an object of a random name twice and removes it. Throws OperatingError "storage_failed" when the second write wins, or marks get lost. */
export async function refuseUnconditionalStorage(storage: Storage, signal?: AbortSignal): Promise<void> {
  const name = `conditional-create-${randomBytes(8).toString("hex")}`;
  const options = { ifAbsent: true, ...(signal && { signal }) };
  try {
    await storage.put(name, Buffer.from("first"), { ...options, needsMark: true });
    await storage.put(name, Buffer.from("second"), options);
  } catch (error) {
    if (isOperatingError(error, "repository_exists")) return;
    throw error;
  } finally {
    // Without the right to delete, it stays: a few bytes that nothing refers to.
    await storage.delete(name).catch(() => undefined);
  }
  throw new OperatingError(
    "storage_failed",
    `${storage.description} replaces an object that must be created only once`,
    {
      detail: "Two that write at the same time could then replace one another's objects unnoticed.",
      hint: 'Use a storage that obeys conditional writes. If there is none: "conditional-put=off" in an s3: URI makes Cairn look before and after each write instead (docs/operating/off-site.md).',
    },
  );
}
