// Names of objects: relative paths of plain parts, so that every storage can hold them and none can be led astray.

import { OperatingError } from "../base/errors.ts";

const NAME_LENGTH_MAX = 512;
const NAME_PATTERN = /^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*\/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/** True for a name that may be used for an object. */
export function isObjectName(name: string): boolean {
  return name.length <= NAME_LENGTH_MAX && NAME_PATTERN.test(name);
}

/** Throws OperatingError "usage" unless the name may be used for an object. */
export function checkObjectName(name: string): void {
  if (!isObjectName(name)) {
    throw new OperatingError("usage", `object name ${JSON.stringify(name.slice(0, 80))} is not allowed`);
  }
}
