// Servers of the November 2026 releases keep `pg_attver=NUMBER` among a column's options (pg_attribute.attoptions). Their
// own pg_dump leaves it out; an older pg_dump writes ALTER COLUMN … SET (pg_attver=…), which no server accepts. So the
// query that reads the options is sent with the condition that the newer pg_dump has in it. Pure.
// Source: pg_dump.c, getTableAttrs (13 to 18), and what pg_dump 15.20 and 17.12 send instead.

const TYPE_QUERY = 0x51; // Q
const HEADER_SIZE_BYTES = 5;

const OPTIONS_AS_THEY_ARE = Buffer.from("array_to_string(a.attoptions, ', ') AS attoptions");
const OPTIONS_WITHOUT_VERSION = Buffer.from(
  "array_to_string(ARRAY(SELECT o FROM unnest(a.attoptions) o WHERE substr(o, 1, 10) <> 'pg_attver='), ', ') AS attoptions",
);

/** The whole frontend message to send in place of this one: itself, unless it is the query of the columns' options. */
export function withoutVersionOption(message: Uint8Array): Uint8Array {
  if (message[0] !== TYPE_QUERY) return message;
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.length);
  const start = bytes.indexOf(OPTIONS_AS_THEY_ARE, HEADER_SIZE_BYTES);
  if (start < 0) return message;
  const end = start + OPTIONS_AS_THEY_ARE.length;
  const rewritten = Buffer.concat([bytes.subarray(0, start), OPTIONS_WITHOUT_VERSION, bytes.subarray(end)]);
  rewritten.writeInt32BE(rewritten.length - 1, 1);
  return rewritten;
}
