// Types and encoders of protocol messages, and the readers of the small ones.
// Source: PostgreSQL manual, "Message Formats". Protocol 3.0 only.

import { assert } from "../base/assert.ts";

/** Types of messages that the server sends. */
export const BACKEND = {
  authentication: 0x52, // R
  bindComplete: 0x32, // 2
  backendKeyData: 0x4b, // K
  commandComplete: 0x43, // C
  copyBothResponse: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  functionCallResponse: 0x56, // V
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notificationResponse: 0x41, // A
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

/** Types of messages that a client sends. */
export const FRONTEND = {
  bind: 0x42, // B
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  describe: 0x44, // D
  execute: 0x45, // E
  functionCall: 0x46, // F
  parse: 0x50, // P
  password: 0x70, // p
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
} as const;

const PROTOCOL_VERSION = 196_608; // 3.0
const SSL_REQUEST = 80_877_103;
const CANCEL_REQUEST = 80_877_102;
const LENGTH_MAX = 0x7fff_ffff;

/** Type and length of a message whose payload is sent apart. */
export function encodeHeader(type: number, payloadLength: number): Uint8Array {
  assert(payloadLength + 4 <= LENGTH_MAX, `message payload of ${payloadLength} bytes`);
  const header = Buffer.allocUnsafe(5);
  header[0] = type;
  header.writeUInt32BE(payloadLength + 4, 1);
  return header;
}

/** A whole message. */
export function encodeMessage(type: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  return Buffer.concat([encodeHeader(type, payload.length), payload]);
}

/** The Query message; `sql` must not hold a NUL byte. */
export function encodeQuery(sql: Uint8Array): Uint8Array {
  assert(!sql.includes(0), "SQL text holds a NUL byte");
  return Buffer.concat([encodeHeader(FRONTEND.query, sql.length + 1), sql, new Uint8Array(1)]);
}

/** One statement, unnamed and without parameters: Parse, Bind, Describe, Execute, Sync. The server refuses several. */
export function encodeStatement(sql: Uint8Array): Uint8Array {
  assert(!sql.includes(0), "SQL text holds a NUL byte");
  return Buffer.concat([
    encodeMessage(FRONTEND.parse, Buffer.concat([Buffer.alloc(1), sql, Buffer.alloc(3)])),
    encodeMessage(FRONTEND.bind, Buffer.alloc(8)), // no names, formats, parameters; results as text
    encodeMessage(FRONTEND.describe, Buffer.from("P\0")),
    encodeMessage(FRONTEND.execute, Buffer.alloc(5)), // all rows
    encodeMessage(FRONTEND.sync),
  ]);
}

/** The startup packet (it has no type byte). */
export function encodeStartup(parameters: Iterable<readonly [string, string]>): Uint8Array {
  const parts: Buffer[] = [];
  for (const [name, value] of parameters) {
    assert(!name.includes("\0") && !value.includes("\0"), `startup parameter ${name} holds a NUL byte`);
    parts.push(Buffer.from(`${name}\0${value}\0`, "utf8"));
  }
  const body = Buffer.concat([...parts, Buffer.alloc(1)]);
  const head = Buffer.allocUnsafe(8);
  head.writeUInt32BE(body.length + 8, 0);
  head.writeUInt32BE(PROTOCOL_VERSION, 4);
  return Buffer.concat([head, body]);
}

/** The packet that asks for TLS; the server answers with one byte, S or N. */
export function encodeSslRequest(): Uint8Array {
  const packet = Buffer.allocUnsafe(8);
  packet.writeUInt32BE(8, 0);
  packet.writeUInt32BE(SSL_REQUEST, 4);
  return packet;
}

/** The packet that cancels another connection's query; sent on a connection of its own. */
export function encodeCancelRequest(processId: number, secretKey: Uint8Array): Uint8Array {
  const head = Buffer.allocUnsafe(12);
  head.writeUInt32BE(12 + secretKey.length, 0);
  head.writeUInt32BE(CANCEL_REQUEST, 4);
  head.writeUInt32BE(processId, 8);
  return Buffer.concat([head, secretKey]);
}

/** The FunctionCall message: binary arguments (null for SQL null), binary result. */
export function encodeFunctionCall(oid: number, functionArguments: readonly (Uint8Array | null)[]): Uint8Array {
  const int16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);
  const int32 = (value: number): Uint8Array =>
    Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
  const parts = [int32(oid), int16(1), int16(1), int16(functionArguments.length)];
  for (const argument of functionArguments) {
    parts.push(int32(argument === null ? -1 : argument.length));
    if (argument !== null) parts.push(argument);
  }
  parts.push(int16(1));
  return encodeMessage(FRONTEND.functionCall, Buffer.concat(parts));
}

/** The bytes up to the next NUL, and the offset after it; the end of the payload counts as a NUL. */
export function readCString(payload: Uint8Array, offset: number): { readonly bytes: Uint8Array; readonly end: number } {
  const found = payload.indexOf(0, offset);
  const stop = found < 0 ? payload.length : found;
  return { bytes: payload.subarray(offset, stop), end: Math.min(stop + 1, payload.length) };
}

/** Name and value of a ParameterStatus message. */
export function parseParameterStatus(payload: Uint8Array): [name: string, value: string] {
  const name = readCString(payload, 0);
  const value = readCString(payload, name.end);
  return [Buffer.from(name.bytes).toString("utf8"), Buffer.from(value.bytes).toString("utf8")];
}

/** A big-endian signed 32-bit number. Throws RangeError past the end. */
export function readInt32(payload: Uint8Array, offset: number): number {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getInt32(offset);
}

/** A big-endian signed 16-bit number. Throws RangeError past the end. */
export function readInt16(payload: Uint8Array, offset: number): number {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getInt16(offset);
}
