// The thread that makes the digests of parts: their bytes are handed over, and handed back, without being copied.

import { parentPort } from "node:worker_threads";
import { digestOf } from "./checksums.ts";
import type { FromHashThread, ToHashThread } from "./part-hasher.ts";

parentPort!.on("message", ({ buffer, mode, number }: ToHashThread) => {
  const bytes = new Uint8Array(buffer);
  const sha256 = digestOf("sha256", bytes);
  const digest = mode === "sha256" ? sha256 : digestOf(mode, bytes);
  parentPort!.postMessage({ number, buffer, digest, sha256 } satisfies FromHashThread, [buffer]);
});
