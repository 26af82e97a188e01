// What may be read of an object at once, whatever the storage.

import { OperatingError } from "../base/errors.ts";
import { GIB } from "../base/units.ts";
import type { ByteRange } from "./storage.ts";

/** The most bytes that one read() gives. */
export const READ_BYTES_MAX = 2 * GIB;

/** Throws OperatingError "corrupt" for what is no range to read: it may come from a damaged list. `action`: "could not read …". */
export function checkRange(action: string, { lengthBytes, offset }: ByteRange): void {
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  if (isCount(offset) && isCount(lengthBytes) && lengthBytes <= READ_BYTES_MAX && isCount(offset + lengthBytes)) return;
  throw new OperatingError("corrupt", `${action}: ${lengthBytes} bytes at ${offset} is no range to read`);
}
