// Reads XML piece by piece, for the replies of WebDAV servers: elements with their namespaces, text, CDATA. Attributes
// other than xmlns are passed over. Refused: document types (and with them all entities of one's own), other encodings than
// UTF-8, text that is no well-formed nesting. Memory: one tag or one run of text. Source: XML 1.0 and Namespaces in XML 1.0, W3C.

import { OperatingError } from "../../base/errors.ts";

const TOKEN_LENGTH_MAX = 64 * 1024;
const DEPTH_MAX = 50;
const NAME = /^([^\s/>=]+)/;
const XMLNS = /\sxmlns(?::([^\s=]+))?\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/** Hears of what is read. Names: the namespace, a space, and the local name ("DAV: href"). */
export interface XmlHandler {
  open(name: string): void;
  close(name: string): void;
  text(text: string): void;
}

interface OpenElement {
  readonly tag: string;
  readonly name: string;
  readonly namespaces: ReadonlyMap<string, string>;
}

/** See the head of this file. write() for each piece, end() after the last; all throw OperatingError "storage_failed". */
export class XmlReader {
  readonly #handler: XmlHandler;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  readonly #open: OpenElement[] = [];
  #rest = "";
  #hasRoot = false;

  constructor(handler: XmlHandler) {
    this.#handler = handler;
  }

  write(bytes: Uint8Array): void {
    this.#rest += this.#decode(bytes, true);
    let from = 0;
    for (;;) {
      const used = this.#token(from);
      if (used === 0) break;
      from += used;
    }
    this.#rest = this.#rest.slice(from);
    if (this.#rest.length > TOKEN_LENGTH_MAX) throw broken("it has a tag or text that is too long");
  }

  end(): void {
    this.#rest += this.#decode(new Uint8Array(), false);
    if (this.#open.length > 0 || !this.#hasRoot || this.#rest.trim() !== "") throw broken("it ends too early", true);
  }

  #decode(bytes: Uint8Array, stream: boolean): string {
    try {
      return this.#decoder.decode(bytes, { stream });
    } catch {
      throw broken("it is not in UTF-8");
    }
  }

  /** Takes one token that begins at an index; returns its length, 0 when it is not complete. */
  #token(from: number): number {
    const rest = this.#rest;
    if (from >= rest.length) return 0;
    if (rest[from] !== "<") {
      const end = rest.indexOf("<", from);
      if (end < 0) return 0;
      this.#text(decoded(rest.slice(from, end)));
      return end - from;
    }
    if (rest.startsWith("<!", from)) return this.#declaration(from);
    if (rest.startsWith("<?", from)) return this.#instruction(from);
    const end = tagEnd(rest, from);
    if (end < 0) return 0;
    this.#tag(rest.slice(from + 1, end));
    return end + 1 - from;
  }

  #declaration(from: number): number {
    const rest = this.#rest;
    if (rest.startsWith("<!--", from)) return lengthTo(rest, "-->", from, 4);
    if (rest.startsWith("<![CDATA[", from)) {
      const length = lengthTo(rest, "]]>", from, 9);
      if (length > 0) this.#text(rest.slice(from + 9, from + length - 3));
      return length;
    }
    const isUndecided = "<!--".startsWith(rest.slice(from)) || "<![CDATA[".startsWith(rest.slice(from));
    if (isUndecided) return 0;
    throw broken("it has a document type");
  }

  #instruction(from: number): number {
    const length = lengthTo(this.#rest, "?>", from, 2);
    const encoding = /^<\?xml\s[^>]*\bencoding\s*=\s*["']([^"']*)/.exec(this.#rest.slice(from, from + length))?.[1];
    if (encoding !== undefined && !/^(?:utf-?8|us-ascii)$/i.test(encoding)) throw broken("it is not in UTF-8");
    return length;
  }

  #text(text: string): void {
    if (this.#open.length > 0) this.#handler.text(text);
    else if (text.trim().replace("\ufeff", "") !== "") throw broken("it has text outside of its root");
  }

  #tag(content: string): void {
    if (content.startsWith("/")) return this.#close(content.slice(1).trimEnd());
    const tag = NAME.exec(content)?.[1];
    if (tag === undefined) throw broken("it has a tag without a name");
    if (this.#open.length === 0 && this.#hasRoot) throw broken("it has two roots");
    if (this.#open.length >= DEPTH_MAX) throw broken("it is nested too deeply");
    this.#hasRoot = true;
    const namespaces = namespacesOf(content, this.#open.at(-1)?.namespaces ?? new Map<string, string>());
    const name = resolved(tag, namespaces);
    this.#open.push({ tag, name, namespaces });
    this.#handler.open(name);
    if (content.endsWith("/")) this.#close(tag);
  }

  #close(tag: string): void {
    const element = this.#open.pop();
    if (element?.tag !== tag) throw broken("its tags do not match");
    this.#handler.close(element.name);
  }
}

/** An OperatingError for a reply that is no sound XML; one that only ends too early may be whole the next time. */
export function broken(reason: string, retryable = false): OperatingError {
  return new OperatingError("storage_failed", `the server's list of files cannot be read: ${reason}`, {
    hint: "Is this the address of a WebDAV folder? A login page or a proxy may have answered.",
    retryable,
  });
}

/** Where a tag ends; ">" may stand in an attribute's value. */
function tagEnd(text: string, from: number): number {
  let quote = "";
  for (let index = from + 1; index < text.length; index += 1) {
    const character = text[index]!;
    if (quote !== "") quote = character === quote ? "" : quote;
    else if (character === '"' || character === "'") quote = character;
    else if (character === ">") return index;
    else if (character === "<") throw broken("it has a tag inside of a tag");
  }
  return -1;
}

function lengthTo(text: string, end: string, from: number, skipped: number): number {
  const index = text.indexOf(end, from + skipped);
  return index < 0 ? 0 : index + end.length - from;
}

function namespacesOf(content: string, outer: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  if (!content.includes("xmlns")) return outer;
  const namespaces = new Map(outer);
  for (const [, prefix = "", double, single] of content.matchAll(XMLNS)) {
    namespaces.set(prefix, decoded(double ?? single ?? ""));
  }
  return namespaces;
}

function resolved(tag: string, namespaces: ReadonlyMap<string, string>): string {
  const colon = tag.indexOf(":");
  const namespace = namespaces.get(tag.slice(0, Math.max(colon, 0)));
  if (namespace === undefined && colon >= 0) throw broken("it uses a namespace that it does not declare");
  return `${namespace ?? ""} ${tag.slice(colon + 1)}`;
}

function decoded(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&([^;&]{0,12});?/g, (whole, name: string) => {
    const number = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name);
    const code = number === null ? -1 : number[1] === undefined ? Number(number[2]) : Number.parseInt(number[1], 16);
    if (whole.endsWith(";") && code > 0 && code <= 0x10ffff) return String.fromCodePoint(code);
    const entity = whole.endsWith(";") ? ENTITIES[name] : undefined;
    if (entity === undefined) throw broken("it has an entity that is not known");
    return entity;
  });
}
