import { describe, expect, test } from "vitest";
import { ByteCollector } from "./byte-collector.ts";

describe("ByteCollector", () => {
  test("gives back what was appended, in a buffer of its size", () => {
    const collector = new ByteCollector(1_000_000);
    const part = new Uint8Array(1_000).map((_, index) => index);
    for (let count = 0; count < 300; count += 1) expect(collector.append(part)).toBe(true);
    const whole = collector.take();
    expect(whole.length).toBe(300_000);
    expect(whole.buffer.byteLength).toBe(300_000);
    expect(whole.subarray(299_000)).toEqual(part);
    expect(collector.take().length).toBe(0);
  });

  test("takes exactly its bound and nothing of a part that would pass it", () => {
    const collector = new ByteCollector(10);
    expect(collector.append(new Uint8Array(6).fill(1))).toBe(true);
    expect(collector.append(new Uint8Array(5).fill(2))).toBe(false);
    expect(collector.append(new Uint8Array(4).fill(3))).toBe(true);
    expect([...collector.take()]).toEqual([1, 1, 1, 1, 1, 1, 3, 3, 3, 3]);
  });
});
