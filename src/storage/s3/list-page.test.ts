// What is read of a page of names, and what is left to the AWS client. Against the AWS client itself: tests/storage/s3.test.ts.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readListPage } from "./list-page.ts";

const HEAD =
  '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">';

const escaped = (text: string): string =>
  text.replace(
    /[&<>"'\n]/g,
    (character) => `&#${character === "&" ? 38 : `x${character.charCodeAt(0).toString(16)}`};`,
  );

function entry(key: string, sizeBytes: number, tag: string): string {
  const owner = "<Owner><ID>1</ID><DisplayName>Key</DisplayName></Owner>";
  return `<Contents><Key>${escaped(key)}</Key><ETag>${tag}</ETag><Size>${sizeBytes}</Size>${owner}<StorageClass/></Contents>`;
}

function page(contents: string, rest = "<IsTruncated>false</IsTruncated>"): string {
  return `${HEAD}<Name>b</Name><Prefix/>${rest}${contents}</ListBucketResult>\n`;
}

describe("readListPage()", () => {
  test("reads keys, sizes, tags, and where the next page begins", () => {
    const rest = "<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;quot;b</NextContinuationToken>";
    expect(readListPage(page(entry("p/a", 1, "&quot;t&quot;") + entry("p/b", 0, '"u"'), rest))).toEqual({
      keys: [
        { key: "p/a", sizeBytes: 1, tag: '"t"' },
        { key: "p/b", sizeBytes: 0, tag: '"u"' },
      ],
      isTruncated: true,
      nextToken: "a&quot;b",
    });
    expect(readListPage(page(""))).toEqual({ keys: [], isTruncated: false, nextToken: null });
    const spaced = page(entry("p/a", 1, "t")).replaceAll("><", ">\n  <");
    expect(readListPage(spaced)?.keys).toEqual([{ key: "p/a", sizeBytes: 1, tag: "t" }]);
  });

  test("gives back any key that can be written", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), fc.nat(), (key, sizeBytes) => {
        fc.pre(!/[\0\uFFFE\uFFFF]/.test(key));
        expect(readListPage(page(entry(key, sizeBytes, "t")))?.keys).toEqual([{ key, sizeBytes, tag: "t" }]);
      }),
    );
  });

  test("takes a page that ends too early for none, wherever it ends", () => {
    const whole = page(entry("p/a", 1, "&quot;t&quot;")).trimEnd();
    expect(readListPage(whole)).not.toBeNull();
    for (let length = 0; length < whole.length; length += 1) expect(readListPage(whole.slice(0, length))).toBeNull();
  });

  test.each([
    ["a size that is not said", page("<Contents><Key>a</Key></Contents>")],
    ["a size that is no number", page("<Contents><Key>a</Key><Size>-1</Size></Contents>")],
    ["an entry without a key", page("<Contents><Size>1</Size></Contents>")],
    ["whether it goes on is not said", page("", "")],
    ["an entity that is not known", page("<Contents><Key>&x;</Key><Size>1</Size></Contents>")],
    ["a character that is none", page("<Contents><Key>&#x110000;</Key><Size>1</Size></Contents>")],
    ["character data", page("<Contents><Key><![CDATA[a]]></Key><Size>1</Size></Contents>")],
    ["a comment", page("<!-- a -->")],
    ["a document type", `<!DOCTYPE a>${page("")}`],
    ["tags that do not match", page("<Contents><Key>a</Size></Contents>")],
    ["text between elements", page("<Contents>a<Key>a</Key>b<Size>1</Size></Contents>")],
    ["another encoding", page("").replace("UTF-8", "ISO-8859-1")],
    ["another document", "<Error><Code>AccessDenied</Code></Error>"],
    ["two documents", page("") + page("")],
    ["nesting without end", page("<a>".repeat(1000))],
  ])("leaves to the AWS client: %s", (_, text) => {
    expect(readListPage(text)).toBeNull();
  });
});
