// The thread of a FollowingHash: reads the file as far as it is told that it is written, and hashes what it reads.

import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

import { assert } from "../../base/assert.ts";
import { MIB } from "../../base/units.ts";
import type { FromHashThread, HashThreadOptions, ToHashThread } from "./following-hash.ts";

/** Little enough to be in the processor's cache still when it is hashed. */
const READ_SIZE_BYTES = MIB;

const port = parentPort;
assert(port !== null, "this is a thread's program");

const descriptor = openSync((workerData as HashThreadOptions).path, "r");
const buffer = Buffer.allocUnsafeSlow(READ_SIZE_BYTES);
let hash = createHash("sha256");
let position = 0;
let writtenBytes = 0;

port.on("message", (message: ToHashThread) => {
  if (message.kind === "restart") {
    hash = createHash("sha256");
    position = 0;
  } else if (message.kind === "written") {
    writtenBytes = message.sizeBytes;
    advance();
  } else {
    advance();
    closeSync(descriptor);
    port.postMessage({ sha256: hash.digest("hex") } satisfies FromHashThread);
    port.close();
  }
});

function advance(): void {
  while (position < writtenBytes) {
    const length = Math.min(buffer.length, writtenBytes - position);
    const count = readSync(descriptor, buffer, 0, length, position);
    if (count === 0) throw new Error(`the file ends at ${position}, ${writtenBytes} bytes were written`);
    hash.update(buffer.subarray(0, count));
    position += count;
  }
}
