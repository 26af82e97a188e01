import fc from "fast-check";
import { expect, test } from "vitest";
import { MessageReader } from "./message-reader.ts";
import { encodeMessage } from "./messages.ts";

const COPY_DATA = 0x64;

const messageList = fc.array(
  fc.record({ type: fc.constantFrom(COPY_DATA, 0x44, 0x5a), payload: fc.uint8Array({ maxLength: 300 }) }),
  { maxLength: 12 },
);

// Cuts bytes at the given places, each a fraction of what is left.
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let rest = bytes;
  for (const size of sizes) {
    pieces.push(rest.subarray(0, size));
    rest = rest.subarray(size);
  }
  return [...pieces, rest];
}

test("MessageReader gives the messages that were sent, however the bytes are split", () => {
  fc.assert(
    fc.property(messageList, fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 30 }), (messages, sizes) => {
      const bytes = Buffer.concat(messages.map(({ type, payload }) => encodeMessage(type, payload)));
      const reader = new MessageReader();
      const seen: { type: number; payload: Uint8Array }[] = [];
      for (const piece of cut(bytes, sizes)) {
        reader.push(Uint8Array.from(piece));
        for (const { type, payload } of reader.messages()) seen.push({ type, payload: Uint8Array.from(payload) });
      }
      expect(seen).toEqual(messages.map(({ type, payload }) => ({ type, payload: Uint8Array.from(payload) })));
    }),
  );
});

test("MessageReader with streamsCopyData gives the same bytes of CopyData, and the other messages whole", () => {
  fc.assert(
    fc.property(messageList, fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 30 }), (messages, sizes) => {
      const bytes = Buffer.concat(messages.map(({ type, payload }) => encodeMessage(type, payload)));
      const reader = new MessageReader();
      reader.streamsCopyData = true;
      const copied: Uint8Array[] = [];
      const others: Uint8Array[] = [];
      for (const piece of cut(bytes, sizes)) {
        reader.push(piece);
        for (const { type, payload } of reader.messages()) (type === COPY_DATA ? copied : others).push(payload);
      }
      const sent = (wanted: boolean): Uint8Array[] =>
        messages.filter(({ type }) => (type === COPY_DATA) === wanted).map(({ payload }) => payload);
      expect(Buffer.concat(copied)).toEqual(Buffer.concat(sent(true)));
      expect(others.map((payload) => [...payload])).toEqual(sent(false).map((payload) => [...payload]));
    }),
  );
});

test("MessageReader.takeRest() gives back exactly what belongs to no message yet", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 0, max: 44 }), (payload, length) => {
      const second = encodeMessage(0x44, payload).subarray(0, length);
      const reader = new MessageReader();
      reader.push(Buffer.concat([encodeMessage(0x5a, Uint8Array.of(0x49)), second]));
      expect(reader.next()?.type).toBe(0x5a);
      expect(Buffer.from(reader.takeRest())).toEqual(Buffer.from(second));
      expect(reader.next()).toBeNull();
    }),
  );
});

test("MessageReader reads a message larger than its first buffer", () => {
  const payload = new Uint8Array(5_000_000).fill(7);
  const bytes = encodeMessage(0x44, payload);
  const reader = new MessageReader();
  let found: Uint8Array | undefined;
  for (let offset = 0; offset < bytes.length; offset += 65_536) {
    reader.push(bytes.subarray(offset, offset + 65_536));
    found ??= reader.next()?.payload;
  }
  expect(found !== undefined && Buffer.compare(found, payload) === 0).toBe(true);
});

test.each([0, 3, 0xffff_ffff, 1001])("MessageReader rejects a length of %i before it takes memory for it", (length) => {
  const reader = new MessageReader(1000);
  const header = Buffer.alloc(5);
  header[0] = 0x44;
  header.writeUInt32BE(length, 1);
  reader.push(header);
  expect(() => reader.next()).toThrow(expect.objectContaining({ code: "connection_lost" }));
});
