// The backend bytes that answer a StartupMessage: libpq in the bundled pg_dump logs in to us, not to the server, and is
// told what the server had told us. Source: PostgreSQL manual, "Message Formats".

import { concatenate } from "./bytes.ts";

const AUTHENTICATION_OK = Uint8Array.of(0x52, 0, 0, 0, 8, 0, 0, 0, 0);
/** BackendKeyData of zeros: pg_dump never cancels through it. */
const BACKEND_KEY_DATA = Uint8Array.of(0x4b, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0);
const READY_FOR_QUERY_IDLE = Uint8Array.of(0x5a, 0, 0, 0, 5, 0x49);
const TYPE_PARAMETER_STATUS = 0x53;

/** AuthenticationOk, a ParameterStatus for each parameter, BackendKeyData, ReadyForQuery. */
export function startupAnswer(parameters: ReadonlyMap<string, string>): Uint8Array {
  const messages = [AUTHENTICATION_OK];
  for (const [name, value] of parameters) messages.push(parameterStatus(name, value));
  messages.push(BACKEND_KEY_DATA, READY_FOR_QUERY_IDLE);
  return concatenate(messages);
}

function parameterStatus(name: string, value: string): Uint8Array<ArrayBuffer> {
  const payload = new TextEncoder().encode(`${name}\0${value}\0`);
  const message = new Uint8Array(5 + payload.length);
  message[0] = TYPE_PARAMETER_STATUS;
  new DataView(message.buffer).setInt32(1, 4 + payload.length);
  message.set(payload, 5);
  return message;
}
