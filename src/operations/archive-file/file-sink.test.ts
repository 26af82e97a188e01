import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { MIB } from "../../base/units.ts";
import { TemporaryFile } from "./file-sink.ts";

const { signal } = new AbortController();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-file-sink-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function newFile(name: string): Promise<TemporaryFile> {
  return await TemporaryFile.create({ file: join(folder, name), overwrite: false });
}

/** Writes 18 MiB in parts of many sizes; twice is more than is made durable at once. Gives what was written. */
async function writeParts(file: TemporaryFile): Promise<Buffer> {
  const parts = Array.from({ length: 12 }, (_, index) => Buffer.alloc((index * MIB) / 3.7 + 5, index));
  for (const part of parts) await file.write(part);
  return Buffer.concat(parts);
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("TemporaryFile.sha256()", () => {
  test.each(["before", "while", "never"] as const)("is the file's, the thread being started %s", async (when) => {
    await using file = await newFile(when);
    if (when === "before") file.startHash();
    const first = await writeParts(file);
    if (when === "while") file.startHash();
    const second = await writeParts(file);
    expect(await file.sha256(signal)).toBe(sha256(Buffer.concat([first, second])));
    await file.sync();
    await file.publish();
    expect(Buffer.concat([first, second]).equals(await readFile(join(folder, when)))).toBe(true);
  });

  test("is of what was patched too", async () => {
    await using file = await newFile("patched");
    file.startHash();
    const bytes = await writeParts(file);
    await file.patch(100, Buffer.from("something else"));
    bytes.write("something else", 100);
    expect(await file.sha256(signal)).toBe(sha256(bytes));
  });

  test("fails when the file is not what was written, and the file goes away", async () => {
    {
      await using file = await newFile("short");
      await writeParts(file);
      await file.drain();
      await truncate(file.temporaryPath, 10);
      file.startHash();
      await expect(file.sha256(signal)).rejects.toMatchObject({
        code: "storage_failed",
        message: expect.stringMatching(/^could not read back ".*": the file ends at 10, \d+ bytes were written$/),
      });
    }
    expect((await readdir(folder)).filter((name) => name.includes("short"))).toEqual([]);
  });

  test("ends when it is cancelled", async () => {
    const controller = new AbortController();
    await using file = await newFile("cancelled");
    file.startHash();
    await writeParts(file);
    const result = file.sha256(controller.signal);
    controller.abort(new Error("enough"));
    await expect(result).rejects.toThrow("enough");
  });
});

test("TemporaryFile.write() frees what it is given once it is written, and nothing else", async () => {
  await using file = await newFile("given");
  const [given, kept] = [Buffer.allocUnsafeSlow(2 * MIB).fill(1), Buffer.allocUnsafeSlow(2 * MIB).fill(2)];
  await file.write(given, true);
  await file.write(kept);
  await file.drain();
  expect([given.length, kept.length]).toEqual([0, 2 * MIB]);
  const written = await readFile(file.temporaryPath);
  expect(written.subarray(0, 2 * MIB).every((byte) => byte === 1)).toBe(true);
  expect(written.subarray(2 * MIB).equals(kept)).toBe(true);
});
