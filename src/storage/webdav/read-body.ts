// Reads the body of an answer to GET into one buffer, exactly the bytes asked for. A server that answers a range with the
// whole object is read up to the range's end, and no further.

import type { IncomingMessage } from "node:http";
import { OperatingError } from "../../base/errors.ts";
import { READ_BYTES_MAX } from "../byte-range.ts";
import type { Attempt } from "../retrier.ts";
import type { ByteRange } from "../storage.ts";
import type { Answer } from "./webdav-requests.ts";

/** What is read. */
export interface Reading {
  readonly action: string;
  /** Undefined: the whole object. */
  readonly range: ByteRange | undefined;
  /** Asks the server for the object's size; null: it does not say. */
  readonly sizeBytes: () => Promise<number | null>;
}

/** The bytes. A body that ends too early is retryable: it broke off. Throws "corrupt" where the object itself is too short. */
export async function readBody(answer: Answer, reading: Reading, attempt: Attempt): Promise<Uint8Array> {
  const { action, range } = reading;
  try {
    const encoding = answer.message.headers["content-encoding"] ?? "identity";
    if (encoding !== "identity") throw wrongAnswer(action, `the server sends it as ${encoding.slice(0, 20)}`, false);
    if (range === undefined) return await readWhole(answer, reading, attempt);
    return await readRange(answer, action, range, attempt);
  } finally {
    answer.message.destroy();
  }
}

async function readWhole(
  { message, status }: Answer,
  { action, sizeBytes }: Reading,
  attempt: Attempt,
): Promise<Uint8Array> {
  if (status !== 200) throw wrongAnswer(action, `the server answered with HTTP status ${status}`, false);
  const said = lengthOf(message.headers["content-length"]);
  if (said !== null && said > READ_BYTES_MAX) throw tooLarge(action);
  if (said !== null) {
    const { bytes, filled } = await fill(message, { skipBytes: 0, lengthBytes: said, isAll: true }, attempt);
    if (filled < said) throw brokeOff(action, filled, said);
    return bytes;
  }
  const pieces: Uint8Array[] = [];
  let count = 0;
  for await (const piece of message as AsyncIterable<Uint8Array>) {
    attempt.alive();
    count += piece.length;
    if (count > READ_BYTES_MAX) throw tooLarge(action);
    pieces.push(piece);
  }
  if (isDelimited(message)) return Buffer.concat(pieces);
  const due = await sizeBytes();
  if (due !== count) throw brokeOff(action, count, due ?? "unknown");
  return Buffer.concat(pieces);
}

async function readRange(answer: Answer, action: string, range: ByteRange, attempt: Attempt): Promise<Uint8Array> {
  const { message, status } = answer;
  const end = range.offset + range.lengthBytes;
  if (status === 206) checkRange(message.headers["content-range"], action, range);
  else if (status !== 200) throw wrongAnswer(action, `the server answered with HTTP status ${status}`, false);
  const total = status === 200 ? lengthOf(message.headers["content-length"]) : null;
  if (total !== null && total < end) throw tooShort(action, total, end);
  const skipBytes = status === 200 ? range.offset : 0;
  const isAll = lengthOf(message.headers["content-length"]) === skipBytes + range.lengthBytes;
  const { bytes, filled, passed } = await fill(message, { skipBytes, lengthBytes: range.lengthBytes, isAll }, attempt);
  if (filled === range.lengthBytes) return bytes;
  // In chunks, a clean end is the object's.
  if (status === 200 && total === null && isDelimited(message)) throw tooShort(action, passed, end);
  throw brokeOff(action, filled, range.lengthBytes);
}

interface Filled {
  readonly bytes: Uint8Array;
  readonly filled: number;
  /** All bytes that came, the skipped ones among them. */
  readonly passed: number;
}

/** Takes bytes until there are enough. `isAll`: no more are due, and the body is read to its end, which keeps the connection. */
async function fill(
  body: AsyncIterable<unknown>,
  { isAll, lengthBytes, skipBytes }: { skipBytes: number; lengthBytes: number; isAll: boolean },
  attempt: Attempt,
): Promise<Filled> {
  const bytes = Buffer.allocUnsafeSlow(lengthBytes);
  let [filled, passed] = [0, 0];
  if (lengthBytes === 0 && !isAll) return { bytes, filled, passed };
  for await (const piece of body as AsyncIterable<Uint8Array>) {
    attempt.alive();
    const from = Math.max(0, skipBytes - passed);
    const part = piece.subarray(from, from + lengthBytes - filled);
    bytes.set(part, filled);
    filled += part.length;
    passed += piece.length;
    if (filled === lengthBytes && !isAll) break;
  }
  return { bytes, filled, passed };
}

function checkRange(header: string | undefined, action: string, range: ByteRange): void {
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(header ?? "");
  if (match === null) throw wrongAnswer(action, "the server does not say which range it sends", false);
  const [first, last, total] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const end = range.offset + range.lengthBytes;
  // Cut off at the object's own end: it is too short. Cut off before: the answer is wrong.
  if (first === range.offset && last + 1 < end && total === last + 1) throw tooShort(action, total, end);
  if (first !== range.offset || last + 1 !== end)
    throw wrongAnswer(action, "it is another range than was asked for", true);
}

/** False where the body's end is the connection's: then nothing tells a whole one from one that broke off. */
function isDelimited({ headers }: IncomingMessage): boolean {
  return headers["content-length"] !== undefined || /\bchunked\b/i.test(headers["transfer-encoding"] ?? "");
}

function lengthOf(header: string | undefined): number | null {
  return header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : null;
}

function wrongAnswer(action: string, reason: string, retryable: boolean): OperatingError {
  return new OperatingError("storage_failed", `${action}: ${reason}`, { retryable });
}

function brokeOff(action: string, filled: number, lengthBytes: number | "unknown"): OperatingError {
  return wrongAnswer(action, `the connection broke off after ${filled} of ${lengthBytes} bytes`, true);
}

function tooShort(action: string, total: number, end: number): OperatingError {
  return new OperatingError("corrupt", `${action}: it ends at ${total}, before byte ${end}`);
}

function tooLarge(action: string): OperatingError {
  return new OperatingError("corrupt", `${action}: it has more bytes than may be read at once`);
}
