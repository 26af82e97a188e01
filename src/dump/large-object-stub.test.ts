import { describe, expect, test } from "vitest";
import { answerLargeObjectCall } from "./large-object-stub.ts";

/** A FunctionCall as libpq's PQfn writes it: one format code (binary), the arguments, binary result. */
function functionCall(functionOid: number, integers: readonly number[]): Uint8Array {
  const payload = Buffer.alloc(4 + 4 + 2 + integers.length * 8 + 2);
  let offset = payload.writeUInt32BE(functionOid, 0);
  offset = payload.writeUInt16BE(1, offset);
  offset = payload.writeUInt16BE(1, offset);
  offset = payload.writeUInt16BE(integers.length, offset);
  for (const integer of integers) offset = payload.writeUInt32BE(integer, payload.writeUInt32BE(4, offset));
  payload.writeUInt16BE(1, offset);
  const message = Buffer.alloc(5 + payload.length);
  message.write("F");
  message.writeUInt32BE(4 + payload.length, 1);
  message.set(payload, 5);
  return message;
}

const readyInTransaction = "5a0000000554";

describe("answerLargeObjectCall()", () => {
  test("answers lo_open and lo_close with the integer 0", () => {
    for (const call of [functionCall(952, [900_001, 0x40000]), functionCall(953, [0])]) {
      expect(Buffer.from(answerLargeObjectCall(call)!).toString("hex")).toBe(
        `560000000c0000000400000000${readyInTransaction}`,
      );
    }
  });

  test("answers loread with no bytes", () => {
    const answer = answerLargeObjectCall(functionCall(954, [0, 16_384]));
    expect(Buffer.from(answer!).toString("hex")).toBe(`560000000800000000${readyInTransaction}`);
  });

  test("reads a message that stands inside a larger buffer", () => {
    const message = functionCall(954, [0, 1]);
    const larger = new Uint8Array(message.length + 6);
    larger.set(message, 3);
    expect(answerLargeObjectCall(larger.subarray(3, 3 + message.length))).not.toBeNull();
  });

  test("leaves other functions and other messages to the server", () => {
    expect(answerLargeObjectCall(functionCall(955, [0, 0]))).toBeNull();
    expect(answerLargeObjectCall(Uint8Array.from([0x51, 0, 0, 0, 5, 0]))).toBeNull();
    expect(answerLargeObjectCall(new Uint8Array(0))).toBeNull();
  });

  test("refuses a FunctionCall that is cut off", () => {
    expect(() => answerLargeObjectCall(functionCall(952, []).subarray(0, 8))).toThrow("assertion failed");
  });
});
