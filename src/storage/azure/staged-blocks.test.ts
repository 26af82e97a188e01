import { expect, test } from "vitest";
import { blockId, BLOCKS_MAX, uploadOf } from "./staged-blocks.ts";

const UPLOAD = { mark: "0123456789abcdef01234567", beganAtMs: Date.UTC(2026, 10, 22, 12, 0, 1) };

test("uploadOf() knows what blockId() says, at any number and time, all of one length", () => {
  const lengths = new Set<number>();
  for (const number of [0, 1, 9, 99_999, BLOCKS_MAX]) {
    for (const beganAtMs of [0, UPLOAD.beganAtMs, Date.UTC(2400, 0, 1)]) {
      const id = blockId({ ...UPLOAD, beganAtMs }, number);
      expect(uploadOf(id)).toEqual({ ...UPLOAD, beganAtMs });
      // Azure takes 64 bytes at most.
      expect(Buffer.from(id, "base64").length).toBeLessThanOrEqual(64);
      lengths.add(id.length);
    }
  }
  expect(lengths.size).toBe(1);
});

test.each(["", "AAAA", "!", Buffer.from("cairn:x:1:2").toString("base64")])("uploadOf() leaves %j alone", (id) => {
  expect(uploadOf(id)).toBe(null);
});
