// What a webdav: URI says: webdav://HOST[:PORT]/PATH, https unless "tls=off" is said. Nothing here is secret.

import { OperatingError } from "../../base/errors.ts";
import { parseLocation } from "../storage-location.ts";

const FORM = "webdav://HOST/PATH";
const SETTING_NAMES = ["tls"];
const HOST = /^(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])$/;
/** File systems and proxies take paths of some thousand bytes; an object's name may take 512 of them. */
const PATH_BYTES_MAX = 1000;

/** Where a folder on a WebDAV server is. */
export interface WebdavLocation {
  readonly isTls: boolean;
  /** As node:http takes it: without brackets. */
  readonly host: string;
  readonly port: number;
  /** "https://host:port", for messages and to tell whether a redirect leads elsewhere. */
  readonly origin: string;
  /** Path of the repository's folder as the URI shows it, decoded; begins and ends with "/". */
  readonly path: string;
  /** True for paths of Nextcloud and ownCloud, which know checksums and a trash bin. */
  readonly isOwncloud: boolean;
}

/** Reads a webdav: URI. Throws OperatingError "usage". */
export function parseWebdavLocation(location: string): WebdavLocation {
  const { host, path, port, settings } = parseLocation(location, { form: FORM, settingNames: SETTING_NAMES });
  if (!HOST.test(host)) throw wrong("it names no host");
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) throw wrong(`its path is longer than ${PATH_BYTES_MAX} bytes`);
  const tls = settings.get("tls") ?? "on";
  if (tls !== "on" && tls !== "off") throw wrong('its "tls" is not one of on, off');
  const isTls = tls === "on";
  const origin = new URL(`${isTls ? "https" : "http"}://${host}${port === "" ? "" : `:${port}`}`);
  return {
    isTls,
    host: origin.hostname.replace(/^\[|\]$/g, ""),
    port: origin.port === "" ? (isTls ? 443 : 80) : Number(origin.port),
    origin: origin.origin,
    path: path === "" ? "/" : `/${path}/`,
    isOwncloud: `/${path}/`.includes("/remote.php/"),
  };
}

/** A path as a request line has it. */
export function encodedPath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

function wrong(reason: string): OperatingError {
  return new OperatingError("usage", `the webdav: URI cannot be used: ${reason}`, {
    hint: `The form is ${FORM}, which means https; "${FORM}?tls=off" is http.`,
  });
}
