// Answers pg_dump's reads of large objects with "empty", for both pg_dump hosts: its table of contents then lists every
// large object and the data is read by our own readers. Everything else is left to the server.
// Source: PostgreSQL manual, "Message Formats", FunctionCall and FunctionCallResponse; pg_proc.dat (built-in OIDs).
//
//   FunctionCall:         'F', int32 length, int32 function oid, arguments (not looked at)
//   FunctionCallResponse: 'V', int32 length, int32 value length, value

import { assert } from "../base/assert.ts";

const LO_OPEN_OID = 952;
const LO_CLOSE_OID = 953;
const LOREAD_OID = 954;

const TYPE_FUNCTION_CALL = 0x46; // F
const FUNCTION_OID_OFFSET = 5;

const READY_FOR_QUERY_IN_TRANSACTION = [0x5a, 0, 0, 0, 5, 0x54];
/** An int4 0: lo_open's descriptor, lo_close's success. */
const ANSWER_ZERO = [0x56, 0, 0, 0, 12, 0, 0, 0, 4, 0, 0, 0, 0, ...READY_FOR_QUERY_IN_TRANSACTION];
/** A bytea of no bytes: the end of the large object. */
const ANSWER_NO_BYTES = [0x56, 0, 0, 0, 8, 0, 0, 0, 0, ...READY_FOR_QUERY_IN_TRANSACTION];

/** The backend bytes that answer a whole FunctionCall message of lo_open, loread or lo_close; null for any other. */
export function answerLargeObjectCall(message: Uint8Array): Uint8Array | null {
  if (message[0] !== TYPE_FUNCTION_CALL) return null;
  assert(message.length >= FUNCTION_OID_OFFSET + 4, "a FunctionCall message names its function");
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const functionOid = view.getUint32(FUNCTION_OID_OFFSET);
  if (functionOid === LO_OPEN_OID || functionOid === LO_CLOSE_OID) return Uint8Array.from(ANSWER_ZERO);
  if (functionOid === LOREAD_OID) return Uint8Array.from(ANSWER_NO_BYTES);
  return null;
}
