import { describe, expect, test } from "vitest";
import { withoutVersionOption } from "./version-option.ts";

function query(text: string): Uint8Array {
  const message = Buffer.from(`Q\0\0\0\0${text}\0`);
  message.writeInt32BE(message.length - 1, 1);
  return message;
}

describe("withoutVersionOption()", () => {
  test("puts the condition into the query of the columns' options", () => {
    const before =
      "SELECT a.attname,\narray_to_string(a.attoptions, ', ') AS attoptions,\na.attnum FROM pg_attribute a -- é";
    const after =
      "SELECT a.attname,\narray_to_string(ARRAY(SELECT o FROM unnest(a.attoptions) o " +
      "WHERE substr(o, 1, 10) <> 'pg_attver='), ', ') AS attoptions,\na.attnum FROM pg_attribute a -- é";
    expect(Buffer.from(withoutVersionOption(query(before)))).toEqual(Buffer.from(query(after)));
  });

  test("gives every other message back as it is", () => {
    const other = query("SELECT array_to_string(c.reloptions, ', ') AS reloptions");
    expect(withoutVersionOption(other)).toBe(other);
    const call = Uint8Array.from([0x46, 0, 0, 0, 4]);
    expect(withoutVersionOption(call)).toBe(call);
  });
});
