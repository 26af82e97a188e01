// Reads a page of names out of the XML that S3 answers with: the AWS client takes ten times as long for it, and thousands
// of names are most of what `cairn list` waits for. It reads what servers write (elements and text); what it does not
// know, it leaves to the AWS client. Source: Amazon S3 API Reference, "ListObjectsV2".

/** An object as a page names it. */
export interface ListedKey {
  readonly key: string;
  /** Null: the server does not say it. */
  readonly sizeBytes: number | null;
  readonly tag: string | null;
}

/** Names, and where the next page begins. */
export interface ListPage {
  readonly keys: readonly ListedKey[];
  readonly isTruncated: boolean;
  readonly nextToken: string | null;
}

/** A tag and the text behind it: closing or not, name, attributes, empty or not, text. */
const TOKEN = /<(\/?)([A-Za-z][\w.-]*)((?:\s[^<>]*?)?)(\/?)>([^<]*)/y;
const PROLOGUE = /^\uFEFF?\s*(?:<\?xml\s[^<>]*\?>\s*)?/;
const OTHER_ENCODING = /\bencoding\s*=\s*["'](?!utf-?8["'])/i;
const SIZE = /^\d{1,15}$/;
const ROOT = "ListBucketResult";
const DEPTH_MAX = 8;
const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/** What is looked for, by the names of its elements; "" where they were not there. */
interface PageFields {
  isTruncated: string;
  nextToken: string;
}

interface EntryFields {
  key: string;
  size: string;
  tag: string;
}

/** The page; null when it is written in a way that this does not read, or is none. */
export function readListPage(text: string): ListPage | null {
  const prologue = PROLOGUE.exec(text)?.[0] ?? "";
  if (OTHER_ENCODING.test(prologue)) return null;
  const open: string[] = [];
  const keys: ListedKey[] = [];
  const page: PageFields = { isTruncated: "", nextToken: "" };
  let entry: EntryFields = { key: "", size: "", tag: "" };
  TOKEN.lastIndex = prologue.length;
  while (TOKEN.lastIndex < text.length) {
    const token = TOKEN.exec(text);
    if (token === null) return null;
    const [, closing, name = "", , empty, behind = ""] = token;
    if (closing === "") {
      open.push(name);
      if (open[0] !== ROOT || open.length > DEPTH_MAX) return null;
      const value = empty === "" ? behind : "";
      const isRead =
        open.length === 3 && open[1] === "Contents" ? readEntry(entry, name, value)
        : open.length === 2 ? readField(page, name, value)
        : true; // prettier-ignore
      if (!isRead) return null;
    }
    if (closing === "" && empty === "") continue;
    if (open.pop() !== name) return null;
    if (behind !== "" && behind.trim() !== "") return null;
    if (open.length === 0) return TOKEN.lastIndex === text.length ? pageOf(page, keys) : null;
    if (open.length !== 1 || name !== "Contents") continue;
    const key = keyOf(entry);
    if (key === null) return null;
    keys.push(key);
    entry = { key: "", size: "", tag: "" };
  }
  return null;
}

/** False for text that is not understood. */
function readEntry(entry: EntryFields, name: string, text: string): boolean {
  if (name === "Size") entry.size = text;
  if (name !== "Key" && name !== "ETag") return true;
  const value = decoded(text);
  if (name === "Key") entry.key = value ?? "";
  else entry.tag = value ?? "";
  return value !== null;
}

function readField(page: PageFields, name: string, text: string): boolean {
  if (name === "IsTruncated") page.isTruncated = text;
  if (name !== "NextContinuationToken") return true;
  const value = decoded(text);
  page.nextToken = value ?? "";
  return value !== null;
}

function pageOf({ isTruncated, nextToken }: PageFields, keys: readonly ListedKey[]): ListPage | null {
  if (isTruncated !== "true" && isTruncated !== "false") return null;
  return { keys, isTruncated: isTruncated === "true", nextToken: nextToken === "" ? null : nextToken };
}

function keyOf({ key, size, tag }: EntryFields): ListedKey | null {
  if (key === "" || !SIZE.test(size)) return null;
  return { key, sizeBytes: Number(size), tag: tag === "" ? null : tag };
}

/** Text with its characters as they are meant; null when it has an entity that is not known. */
function decoded(text: string): string | null {
  if (!text.includes("&")) return text;
  // Around each tag, and nothing else in it.
  const unquoted = text.replaceAll("&quot;", '"');
  if (!unquoted.includes("&")) return unquoted;
  let isKnown = true;
  const result = text.replace(/&(?:#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))|([a-z]{2,4}));|&/g, (...found) => {
    const [, hexadecimal, decimal, name = ""] = found as (string | undefined)[];
    const code = hexadecimal === undefined ? Number(decimal ?? 0) : Number.parseInt(hexadecimal, 16);
    const character = code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : ENTITIES[name];
    isKnown &&= character !== undefined;
    return character ?? "";
  });
  return isKnown ? result : null;
}
