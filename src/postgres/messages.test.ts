import { expect, test } from "vitest";
import { encodeCancelRequest, encodeFunctionCall, encodeQuery, encodeStartup, readCString } from "./messages.ts";
import { parseDataRow, parseRowDescription, QueryResult, rowCountOf } from "./query-result.ts";
import { isFatal, parseErrorFields, serverErrorOf } from "./server-error.ts";

test("encodeQuery() frames the text with length and NUL, and rejects a NUL inside", () => {
  expect(Buffer.from(encodeQuery(Buffer.from("SELECT 1"))).toString("hex")).toBe("510000000d53454c454354203100");
  expect(() => encodeQuery(Uint8Array.of(65, 0))).toThrow("NUL");
});

test("encodeStartup() and encodeCancelRequest() write the packets of the manual", () => {
  expect(Buffer.from(encodeStartup([["user", "u"]])).toString("hex")).toBe("0000001000030000" + "7573657200750000");
  const cancel = Buffer.from(encodeCancelRequest(258, Uint8Array.of(1, 2, 3, 4)));
  expect(cancel.toString("hex")).toBe("0000001004d2162e0000010201020304");
});

test("encodeFunctionCall() writes binary arguments and null", () => {
  const message = Buffer.from(encodeFunctionCall(952, [Uint8Array.of(0, 0, 0, 5), null]));
  expect(message.toString("hex")).toBe(
    "460000001c" + "000003b8" + "00010001" + "0002" + "0000000400000005" + "ffffffff" + "0001",
  );
});

test("readCString() takes the end of the payload for a NUL", () => {
  expect(readCString(Buffer.from("ab\0c"), 0)).toEqual({ bytes: Buffer.from("ab"), end: 3 });
  expect(readCString(Buffer.from("ab\0c"), 3)).toEqual({ bytes: Buffer.from("c"), end: 4 });
});

test("parseErrorFields() reads all fields, and survives truncation at every byte", () => {
  const text = "SFEHLER\0VERROR\0C42501\0Mno\nway\0Dd\0Hh\0P12\0Ww\0ss\0tt\0cc\0nn\0Rr\0\0";
  const fields = parseErrorFields(Buffer.from(text));
  expect(fields).toMatchObject({
    severity: "ERROR",
    code: "42501",
    position: 12,
    schema: "s",
    constraint: "n",
    routine: "r",
  });
  expect(serverErrorOf(fields)).toMatchObject({ code: "insufficient_privilege", message: "no way", hint: "h" });
  for (let length = 0; length < text.length; length += 1) parseErrorFields(Buffer.from(text.slice(0, length)));
});

test.each([
  ["55P03", "lock_timeout"],
  ["57P01", "connection_lost"],
  ["08006", "connection_lost"],
  ["57014", "query_failed"],
  ["42P01", "query_failed"],
])("serverErrorOf() gives SQLSTATE %s the code %s", (sqlState, code) => {
  const error = serverErrorOf(parseErrorFields(Buffer.from(`VERROR\0C${sqlState}\0Mm\0\0`)));
  expect(error).toMatchObject({ code, sqlState });
  expect(isFatal(error.serverError)).toBe(false);
});

test("parseDataRow() reads a value that only looks like the one before it as what it is", () => {
  const message = (hex: string): Uint8Array => Buffer.from(`000100000002${hex}`, "hex");
  // UTF-8 of one letter, whose bytes are the code units of the two letters before it.
  expect(parseDataRow(message("c3a9"), "utf8", ["Ã©"])).toEqual(["é"]);
  expect(parseDataRow(message("6162"), "utf8", ["ab"])).toEqual(["ab"]);
  expect(parseDataRow(message("6162"), "utf8", ["ac"])).toEqual(["ab"]);
  expect(parseDataRow(message("6162"), "utf8", ["abc"])).toEqual(["ab"]);
  expect(parseDataRow(message("6162"), "utf8", [null])).toEqual(["ab"]);
  expect(parseDataRow(message("6162"), "utf8", [])).toEqual(["ab"]);
});

test("parseDataRow() reads values and nulls, and rejects a length beyond the message", () => {
  const row = Buffer.from("0002" + "00000001" + "e9" + "ffffffff", "hex");
  expect(parseDataRow(row, "latin1")).toEqual(["é", null]);
  expect(() => parseDataRow(Buffer.from("0001" + "00000009" + "e9", "hex"), "utf8")).toThrow("malformed DataRow");
});

test("parseRowDescription() reads names and types", () => {
  const column = "6100" + "00000000" + "0000" + "00000017" + "0004" + "ffffffff" + "0000";
  expect(parseRowDescription(Buffer.from("0001" + column, "hex"), "utf8")).toEqual([{ name: "a", typeOid: 23 }]);
});

test("QueryResult gives the last result, its rows as objects, and all results", () => {
  const columns = [
    { name: "a", typeOid: 23 },
    { name: "b", typeOid: 25 },
  ];
  const all = [
    { columns: [], rows: [], command: "SET", rowCount: null },
    { columns, rows: [["1", null]], command: "SELECT 1", rowCount: 1 },
  ];
  const result = new QueryResult(all);
  expect(result.objects()).toEqual([{ a: "1", b: null }]);
  expect(result.value).toBe("1");
  expect(result.all).toHaveLength(2);
  expect(new QueryResult([]).value).toBeNull();
});

test("rowCountOf() reads the end of a command tag", () => {
  expect([rowCountOf("INSERT 0 5"), rowCountOf("COPY 12"), rowCountOf("CREATE TABLE")]).toEqual([5, 12, null]);
});
