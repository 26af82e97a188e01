import { EventEmitter } from "node:events";

import { expect, test } from "vitest";

import type { AuthenticatedConnection } from "../postgres/index.ts";
import { BACKEND, encodeMessage, encodeQuery } from "../postgres/index.ts";
import { Relay } from "./relay.ts";

const ready = encodeMessage(BACKEND.readyForQuery, Buffer.from("T"));
const parameter = encodeMessage(BACKEND.parameterStatus, Buffer.from("TimeZone\0UTC\0"));
const query = Buffer.from(encodeQuery(Buffer.from("SELECT 1")));

/** A relay whose server answers each message with the next of these parts. */
function relayWith(answers: readonly (readonly Uint8Array[])[]): Relay {
  const socket = new EventEmitter();
  let index = 0;
  const write = (): void => {
    for (const part of answers[index++] ?? []) setImmediate(() => socket.emit("data", Buffer.from(part)));
  };
  Object.assign(socket, { write, resume: () => {}, pause: () => {}, destroy: () => {} });
  return new Relay({ socket, parameters: new Map() } as unknown as AuthenticatedConnection);
}

test("an answer ends at ReadyForQuery even when the server says something of its own right behind it", async () => {
  const behind = Buffer.concat([ready, parameter]);
  const torn = [behind.subarray(0, ready.length + 3), behind.subarray(ready.length + 3)];
  const relay = relayWith([[behind], torn, [ready]]);
  const received: Buffer[] = [];
  const onBytes = (bytes: Uint8Array): void => void received.push(Buffer.from(bytes));
  await relay.exchange(query, onBytes);
  await relay.exchange(query, onBytes);
  await new Promise((resolve) => setImmediate(resolve));
  await relay.exchange(query, onBytes);
  expect(Buffer.concat(received).subarray(-ready.length)).toEqual(Buffer.from(ready));
}, 2000);
