import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { MIB } from "../base/units.ts";
import { limitStorage } from "./limited-storage.ts";
import { openLocalStorage } from "./local/local-storage.ts";
import type { RateClock } from "./rate-limit.ts";

const folder = mkdtempSync(join(tmpdir(), "cairn-limited-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A clock on which time passes only by sleeping. */
function fakeClock(): RateClock & { now: number } {
  return {
    now: 0,
    nowMs() {
      return this.now;
    },
    async sleep(delayMs, signal) {
      signal?.throwIfAborted();
      this.now += delayMs;
    },
  };
}

describe("limitStorage()", () => {
  test("gives a storage without caps back as it is", () => {
    const storage = openLocalStorage(folder);
    expect(limitStorage(storage, {})).toBe(storage);
  });

  test("spaces writes by their cap, reads by theirs", async () => {
    const clock = fakeClock();
    const limits = { uploadBytesPerSecond: MIB, downloadBytesPerSecond: 4 * MIB };
    const storage = limitStorage(openLocalStorage(folder), limits, clock);
    const writer = await storage.openWriter("a");
    for (let index = 0; index < 10; index += 1) await writer.write(Buffer.alloc(MIB));
    await writer.finish();
    // The first goes at once, each later one when what went before is paid off.
    expect(clock.now).toBe(9000);
    await storage.put("b", Buffer.alloc(3 * MIB));
    expect(clock.now).toBe(12_000);
    for (let index = 0; index < 5; index += 1) await storage.read("a", { offset: 0, lengthBytes: 4 * MIB });
    expect(clock.now).toBe(12_000 + 4750);
    await storage.read("a");
    await storage.read("b", { offset: 0, lengthBytes: 1 });
    expect(clock.now).toBeGreaterThanOrEqual(12_000 + 5000 + 2500);
  });

  test("hears the signal while it waits", async () => {
    const storage = limitStorage(openLocalStorage(folder), { uploadBytesPerSecond: 1024 });
    const controller = new AbortController();
    const putting = storage.put("c", Buffer.alloc(5 * MIB), { signal: controller.signal });
    controller.abort(new Error("stop"));
    await expect(putting).rejects.toThrow("stop");
    expect(await storage.head("c")).toBe(null);
  });
});
