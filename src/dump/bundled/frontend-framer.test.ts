import { describe, expect, test } from "vitest";
import { FrontendFramer } from "./frontend-framer.ts";

function untyped(code: number, payload = ""): Buffer {
  const message = Buffer.alloc(8 + payload.length);
  message.writeInt32BE(message.length, 0);
  message.writeInt32BE(code, 4);
  message.write(payload, 8, "latin1");
  return message;
}

function typed(type: string, payload: string): Buffer {
  const message = Buffer.alloc(5 + payload.length);
  message.write(type, 0, "latin1");
  message.writeInt32BE(4 + payload.length, 1);
  message.write(payload, 5, "latin1");
  return message;
}

const startup = untyped(3 << 16, "user\0a\0\0");

describe("FrontendFramer", () => {
  const stream = Buffer.concat([
    untyped(80877103),
    startup,
    typed("Q", "SELECT 1\0"),
    typed("F", "xxxx"),
    typed("X", ""),
  ]);
  const expected = [
    { kind: "encryption-request" },
    { kind: "startup" },
    { kind: "message", bytes: new Uint8Array(typed("Q", "SELECT 1\0")) },
    { kind: "message", bytes: new Uint8Array(typed("F", "xxxx")) },
    { kind: "terminate" },
  ];

  test("cuts messages that come in one piece", () => {
    expect(new FrontendFramer().push(stream)).toEqual(expected);
  });

  test("cuts messages that come a byte at a time", () => {
    const framer = new FrontendFramer();
    expect([...stream].flatMap((byte) => framer.push(Uint8Array.of(byte)))).toEqual(expected);
  });

  test("gives messages that own their bytes", () => {
    const framer = new FrontendFramer();
    framer.push(startup);
    const input = typed("Q", "a\0");
    const frame = framer.push(input)[0]!;
    input.fill(0);
    expect(frame).toEqual({ kind: "message", bytes: new Uint8Array(typed("Q", "a\0")) });
  });

  test("refuses another protocol and lengths that cannot be", () => {
    expect(() => new FrontendFramer().push(untyped(2 << 16))).toThrow("the protocol is 3, not 2");
    expect(() => new FrontendFramer().push(Buffer.from([0, 0, 0, 7, 0, 3, 0, 0]))).toThrow("at least its header");
    expect(() => new FrontendFramer().push(Buffer.from([0x7f, 0, 0, 0, 0, 3, 0, 0]))).toThrow("too long");
    const framer = new FrontendFramer();
    framer.push(startup);
    expect(() => framer.push(Buffer.from([0x51, 0, 0, 0, 3]))).toThrow("at least its header");
  });
});
