import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { digestFields, digestOf, isDifferent } from "./checksums.ts";
import { partSizeBytes } from "./part-plan.ts";
import { CHECKSUM_MODES } from "./s3-location.ts";

describe("digestOf()", () => {
  test("is the header's value, known from other tools", () => {
    const bytes = Buffer.from("123456789");
    expect(digestFields("crc32", digestOf("crc32", bytes))).toEqual({ ChecksumCRC32: "y/Q5Jg==" });
    expect(digestFields("md5", digestOf("md5", bytes))).toEqual({ ContentMD5: "JfnnlDI7RTiF9RgfG2JNCw==" });
    const sha256 = createHash("sha256").update(bytes).digest("base64");
    expect(digestFields("sha256", digestOf("sha256", bytes))).toEqual({ ChecksumSHA256: sha256 });
  });
});

describe("isDifferent()", () => {
  const parts = [Buffer.from("one"), Buffer.from("two")];
  const said = (mode: (typeof CHECKSUM_MODES)[number], digest: Buffer, suffix = "") =>
    mode === "md5"
      ? { ETag: `"${digest.toString("hex")}${suffix}"` }
      : { [mode === "sha256" ? "ChecksumSHA256" : "ChecksumCRC32"]: digest.toString("base64") + suffix };

  test.each(CHECKSUM_MODES)("compares one request and parts, %s", (mode) => {
    const digests = parts.map((part) => digestOf(mode, part));
    const inParts = { sizeBytes: 6, digests, isInParts: true };
    const whole = { sizeBytes: 3, digests: [digests[0]!], isInParts: false };
    const ofParts = digestOf(mode, Buffer.concat(digests));
    expect(isDifferent(mode, said(mode, digests[0]!), whole)).toBe(false);
    expect(isDifferent(mode, said(mode, digests[1]!), whole)).toBe(true);
    expect(isDifferent(mode, said(mode, ofParts, "-2"), inParts)).toBe(false);
    expect(isDifferent(mode, said(mode, ofParts, "-3"), inParts)).toBe(true);
    expect(isDifferent(mode, said(mode, digests[0]!, "-2"), inParts)).toBe(true);
    expect(isDifferent(mode, {}, whole)).toBe(false);
  });

  test("says nothing of a tag that is no checksum: with a key of the storage's own", () => {
    const whole = { sizeBytes: 3, digests: [digestOf("md5", parts[0]!)], isInParts: false };
    expect(
      isDifferent("md5", { ETag: '"0123456789abcdef0123456789abcdef"', ServerSideEncryption: "aws:kms" }, whole),
    ).toBe(false);
    expect(isDifferent("md5", { ETag: '"0123456789abcdef0123456789abcdef"' }, whole)).toBe(true);
    expect(isDifferent("md5", { ETag: '"opaque"' }, whole)).toBe(false);
  });
});

test("partSizeBytes() keeps to S3's limits, is equal up to 16 GiB, and reaches 400 GiB", () => {
  let total = 0;
  let equal = 0;
  for (let number = 1; partSizeBytes(number) !== null; number += 1) {
    const size = partSizeBytes(number)!;
    expect(size).toBeGreaterThanOrEqual(5 * 2 ** 20);
    expect(size).toBeLessThanOrEqual(128 * 2 ** 20);
    if (size === partSizeBytes(1)) equal += size;
    total += size;
  }
  expect(partSizeBytes(10_001)).toBe(null);
  expect(equal / 2 ** 30).toBeGreaterThan(15);
  expect(total / 2 ** 30).toBeGreaterThan(400);
});
