// Digests of parts, made in a thread: the right ones, and the bytes come back; buffers are used again within their limit.

import { createHash, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { MIB } from "../../base/units.ts";
import { digestOf } from "./checksums.ts";
import { PartBuffers } from "./part-buffers.ts";
import { PartHasher } from "./part-hasher.ts";
import { IN_FLIGHT_BYTES_MAX } from "./part-plan.ts";
import { CHECKSUM_MODES } from "./s3-location.ts";

test.each(CHECKSUM_MODES)(
  "PartHasher.hash() gives the digests of many parts at once, and their bytes: %s",
  async (mode) => {
    const hasher = new PartHasher();
    try {
      const sizes = [1, 3 * MIB, 5, MIB];
      const parts = sizes.map((size) => randomBytes(size));
      const hashed = await Promise.all(parts.map((part) => hasher.hash(mode, Uint8Array.from(part))));
      for (const [index, part] of parts.entries()) {
        const { bytes, digest, sha256 } = hashed[index]!;
        expect(Buffer.compare(bytes, part)).toBe(0);
        expect(digest).toEqual(digestOf(mode, part));
        expect(sha256).toEqual(createHash("sha256").update(part).digest());
      }
    } finally {
      hasher.dispose();
    }
  },
);

test("PartHasher.hash() fails when its thread ends, and begins another one for the next part", async () => {
  const hasher = new PartHasher();
  const lost = hasher.hash("sha256", new Uint8Array(64 * MIB));
  hasher.dispose();
  await expect(lost).rejects.toThrow("thread");
  const { digest } = await hasher.hash("sha256", Uint8Array.of(1));
  expect(digest).toEqual(digestOf("sha256", Uint8Array.of(1)));
  hasher.dispose();
});

test("PartBuffers.take() gives what was given back, of the same size, and keeps no more than its limit", () => {
  const buffers = new PartBuffers();
  const size = 8 * MIB;
  const parts = Array.from({ length: IN_FLIGHT_BYTES_MAX / size + 1 }, () => buffers.take(size));
  const memory = new Set(parts.map(({ buffer }) => buffer));
  expect(memory.size).toBe(parts.length);
  for (const part of parts) buffers.give(part);
  // The one too many was freed.
  expect(parts.map(({ byteLength }) => byteLength)).toEqual([size, size, size, 0]);
  expect(buffers.take(size - 1).byteLength).toBe(size - 1);
  const again = Array.from({ length: parts.length }, () => buffers.take(size));
  expect(again.filter(({ buffer }) => memory.has(buffer))).toHaveLength(IN_FLIGHT_BYTES_MAX / size);
});
