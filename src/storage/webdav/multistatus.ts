// What a server says of files and folders: the body of PROPFIND, and the reply (207), read as it comes in.
// Limits: each name and property in length, the number of files of one reply. Source: RFC 4918, 9.1, 13, 14.

import { OperatingError } from "../../base/errors.ts";
import { broken, XmlReader } from "./xml-reader.ts";

const TEXT_LENGTH_MAX = 8 * 1024;
const DAV = "DAV:";
const OWNCLOUD = "http://owncloud.org/ns";

/** Asks for what an Entry holds. */
export const PROPFIND_BODY = Buffer.from(
  `<?xml version="1.0" encoding="utf-8"?><d:propfind xmlns:d="${DAV}" xmlns:oc="${OWNCLOUD}"><d:prop>` +
    "<d:resourcetype/><d:getcontentlength/><d:getlastmodified/><d:getetag/><oc:checksums/></d:prop></d:propfind>",
);

/** Asks for the space that is left. */
export const QUOTA_BODY = Buffer.from(
  `<?xml version="1.0" encoding="utf-8"?><d:propfind xmlns:d="${DAV}"><d:prop><d:quota-available-bytes/></d:prop></d:propfind>`,
);

/** A file or a folder. */
export interface Entry {
  /** As the server wrote it: a path or a whole address, with percent signs. */
  readonly href: string;
  readonly isFolder: boolean;
  /** Null where the server does not say it. */
  readonly sizeBytes: number | null;
  /** When it was last changed, by the server's clock; 0: not said. */
  readonly modifiedAtMs: number;
  /** What differs when another file stands there; null: not said. */
  readonly etag: string | null;
  /** SHA-1 as Nextcloud and ownCloud know it, in hex; null: not said. */
  readonly sha1: string | null;
  readonly availableBytes: number | null;
}

/** Reads replies; each whole entry is handed out. */
export class MultistatusReader {
  readonly #xml: XmlReader;
  readonly #onEntry: (entry: Entry) => void;
  #path: string[] = [];
  #text: string | null = null;
  #href = "";
  /** Properties of the whole entry, and of the propstat that is being read: they count only if its status is 200. */
  #properties = new Map<string, string>();
  #candidates = new Map<string, string>();
  #status = "";

  constructor(onEntry: (entry: Entry) => void) {
    this.#onEntry = onEntry;
    this.#xml = new XmlReader({
      open: (name) => this.#open(name),
      close: (name) => this.#close(name),
      text: (text) => this.#take(text),
    });
  }

  write(bytes: Uint8Array): void {
    this.#xml.write(bytes);
  }

  end(): void {
    this.#xml.end();
  }

  #open(name: string): void {
    if (this.#path.length === 0 && name !== `${DAV} multistatus`) throw broken("it is no WebDAV reply");
    this.#path.push(name);
    const depth = this.#path.length;
    if (depth === 2) {
      this.#href = "";
      this.#properties = new Map();
    }
    if (depth === 3 && name === `${DAV} propstat`) {
      this.#candidates = new Map();
      this.#status = "";
    }
    const isProperty = depth === 5 && this.#path[3] === `${DAV} prop`;
    const isText = depth === 3 || isProperty || (depth === 4 && name === `${DAV} status`);
    if (isText) this.#text = "";
    // Checksums of Nextcloud and ownCloud stand one level deeper.
    if (depth === 6 && name === `${OWNCLOUD} checksum`) this.#text = "";
  }

  #close(name: string): void {
    const depth = this.#path.length;
    const text = (this.#text ?? "").trim();
    if (depth === 3 && name === `${DAV} href`) this.#href = text;
    if (depth === 4 && name === `${DAV} status`) this.#status = text;
    if ((depth === 5 || depth === 6) && !this.#candidates.has(name)) this.#candidates.set(name, text);
    if (depth === 3 && name === `${DAV} propstat` && / 200\b/.test(this.#status)) {
      for (const [property, value] of this.#candidates) this.#properties.set(property, value);
    }
    if (depth === 2 && name === `${DAV} response`) this.#onEntry(this.#entry());
    this.#text = null;
    this.#path.pop();
  }

  #take(text: string): void {
    if (this.#text === null) return;
    this.#text += text;
    if (this.#text.length > TEXT_LENGTH_MAX) throw broken("it has a name or property that is too long");
  }

  #entry(): Entry {
    const size = this.#properties.get(`${DAV} getcontentlength`);
    const modified = Date.parse(this.#properties.get(`${DAV} getlastmodified`) ?? "");
    const etag = this.#properties.get(`${DAV} getetag`);
    const checksums = this.#properties.get(`${OWNCLOUD} checksum`) ?? "";
    return {
      href: copied(this.#href),
      isFolder: this.#properties.has(`${DAV} collection`),
      sizeBytes: countOf(size),
      modifiedAtMs: Number.isNaN(modified) ? 0 : modified,
      etag: etag === undefined ? null : copied(etag),
      sha1: /\bSHA1:([0-9a-f]{40})\b/i.exec(checksums)?.[1]?.toLowerCase() ?? null,
      availableBytes: countOf(this.#properties.get(`${DAV} quota-available-bytes`)),
    };
  }
}

/** A string of its own: a piece of a larger one would keep all of that in memory. */
function copied(text: string): string {
  return Buffer.from(text).toString();
}

function countOf(text: string | undefined): number | null {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return null;
  const count = Number(text);
  return Number.isSafeInteger(count) ? count : null;
}

/**
 * The name of an entry in the folder that was asked for (both decoded; the folder ends with "/"); "" for the folder itself.
 * Throws OperatingError "storage_failed" for what lies elsewhere.
 */
export function nameInFolder({ href }: Entry, folder: string): string {
  const path = decodedPath(href);
  if (path !== null) {
    const [mine, theirs] = [folder.normalize("NFC"), path.normalize("NFC")];
    if (theirs === mine || `${theirs}/` === mine) return "";
    const name = theirs.startsWith(mine) ? theirs.slice(mine.length).replace(/\/$/, "") : "";
    if (name !== "" && !name.includes("/")) return name;
  }
  throw new OperatingError("storage_failed", "the server lists a file that is not in the folder it was asked for", {
    detail: `The folder is "${folder.slice(0, 200)}", the file "${href.slice(0, 200).replace(/[^\x20-\x7e]/g, "?")}".`,
    hint: "A proxy may give the server's folder another path than the server knows. Both must be the same.",
  });
}

/** The path of an address; null for what is none. */
function decodedPath(href: string): string | null {
  const path = /^https?:\/\//i.test(href) ? href.replace(/^https?:\/\/[^/]*/i, "") : href;
  try {
    const decoded = decodeURIComponent(path);
    const isSound = decoded.startsWith("/") && !/(?:^|\/)\.\.?(?:\/|$)/.test(decoded) && !/\p{Cc}/u.test(decoded);
    return isSound ? decoded : null;
  } catch {
    return null;
  }
}
