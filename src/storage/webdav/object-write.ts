// What the parts of a write know of it: the object, who writes, and what was sent.

import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { OperatingError } from "../../base/errors.ts";
import type { PutOptions } from "../storage.ts";
import { newWriter } from "./temporary-names.ts";

/** Tidying up after a failure must not take as long again as the failure did. */
export const TIDYING_ATTEMPTS_MAX = 3;

/** A write of one object. */
export interface ObjectWrite {
  readonly name: string;
  /** Names its temporary files. */
  readonly writer: string;
  readonly ifAbsent: boolean;
  readonly signal: AbortSignal | undefined;
}

/** What was sent. */
export interface SentContent {
  readonly sizeBytes: number;
  readonly sha256: Buffer;
  /** As Nextcloud and ownCloud show it; null: not computed, the server is neither. */
  readonly sha1: string | null;
}

/** A new write of an object. */
export function newWrite(name: string, { ifAbsent = false, signal }: PutOptions): ObjectWrite {
  return { name, writer: newWriter(), ifAbsent, signal };
}

/** Makes a SentContent of bytes as they come. */
export class ContentHashes {
  readonly #sha256 = createHash("sha256");
  readonly #sha1: Hash | null;
  #sizeBytes = 0;

  constructor(isOwncloud: boolean) {
    this.#sha1 = isOwncloud ? createHash("sha1") : null;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  update(bytes: Uint8Array): this {
    this.#sizeBytes += bytes.length;
    this.#sha256.update(bytes);
    this.#sha1?.update(bytes);
    return this;
  }

  /** To be called once. */
  digest(): SentContent {
    return {
      sizeBytes: this.#sizeBytes,
      sha256: this.#sha256.digest(),
      sha1: this.#sha1?.digest("hex") ?? null,
    };
  }
}

export function isThere(name: string): OperatingError {
  return new OperatingError("repository_exists", `"${name}" is there already`);
}
