// Where a storage is, as a user writes it: a path, or a URI whose scheme names the driver. Credentials are never in it:
// it stands in command lines, messages and logs. Parsing only; drivers.ts says which schemes there are.

import { OperatingError } from "../base/errors.ts";

const LOCATION_LENGTH_MAX = 4096;
/** One letter before a colon is a drive, not a scheme. */
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]+):/;

/** A location's scheme in lower case, "" for a path. Throws OperatingError "usage". */
export function schemeOf(location: string): string {
  if (location === "") throw new OperatingError("usage", "the repository's location is empty");
  if (location.length > LOCATION_LENGTH_MAX || location.includes("\0")) {
    throw new OperatingError(
      "usage",
      `the repository's location is no path and no URI of at most ${LOCATION_LENGTH_MAX}`,
    );
  }
  return SCHEME.exec(location)?.[1]?.toLowerCase() ?? "";
}

/** The parts of `SCHEME://HOST/PATH?NAME=VALUE&…`, percent signs decoded, checked for what must not be there. */
export interface LocationParts {
  /** "" where the URI names none. */
  readonly user: string;
  readonly host: string;
  /** "" or a number. */
  readonly port: string;
  /** Without slashes at its ends. */
  readonly path: string;
  /** Only names that the driver knows, each once and not empty. */
  readonly settings: ReadonlyMap<string, string>;
}

/** How a driver's URI looks. */
export interface LocationForm {
  /** For messages: "s3://BUCKET/PREFIX". */
  readonly form: string;
  readonly settingNames: readonly string[];
  /** True where the user's name belongs into the URI (sftp); a password never does. */
  readonly hasUser?: boolean;
}

/** Takes a URI apart. Throws OperatingError "usage"; no message repeats what may be a secret. */
export function parseLocation(location: string, { form, settingNames, hasUser }: LocationForm): LocationParts {
  const hint = `The form is ${form}.`;
  const url = /^[A-Za-z][A-Za-z0-9+.-]+:\/\//.test(location) && URL.canParse(location) ? new URL(location) : null;
  if (url === null) throw new OperatingError("usage", `the repository's location is no URI of the form ${form}`);
  if (url.password !== "" || (url.username !== "" && hasUser !== true)) {
    throw new OperatingError("usage", `the URI of ${url.protocol}//${url.host} holds credentials`, {
      detail: "A URI stands in command lines, shell histories and logs, where others can read it.",
      hint: `Take them out of the URI, and give them as docs/operating/off-site.md says. ${hint}`,
    });
  }
  if (url.hash !== "")
    throw new OperatingError("usage", `the URI of ${url.protocol}//${url.host} has a part after "#"`, { hint });
  const settings = settingsOf(url, settingNames, hint);
  const user = decodedUser(url, hint);
  return { user, host: url.hostname, port: url.port, path: decodedPath(url, hint), settings };
}

function decodedUser(url: URL, hint: string): string {
  try {
    return decodeURIComponent(url.username);
  } catch {
    throw new OperatingError("usage", `the user in the URI of ${url.protocol}//${url.host} is not decodable`, { hint });
  }
}

function settingsOf(url: URL, known: readonly string[], hint: string): Map<string, string> {
  const settings = new Map<string, string>();
  for (const [name, value] of url.searchParams) {
    // The value is not repeated: it may be a key that somebody tried to give here.
    const wrong =
      !known.includes(name) ? "is not known" : settings.has(name) ? "is given twice" : value === "" ? "is empty" : null; // prettier-ignore
    if (wrong !== null) {
      throw new OperatingError(
        "usage",
        `setting "${name.slice(0, 40)}" in the URI of ${url.protocol}//${url.host} ${wrong}`,
        {
          hint: `${hint} Settings: ${known.join(", ")}.`,
        },
      );
    }
    settings.set(name, value);
  }
  return settings;
}

function decodedPath(url: URL, hint: string): string {
  const path = url.pathname.replace(/^\/+|\/+$/g, "");
  try {
    const decoded = decodeURIComponent(path);
    // oxlint-disable-next-line no-control-regex -- they are what is looked for
    const isSound = decoded === "" || decoded.split("/").every((part) => !["", ".", ".."].includes(part) && !/[\x00-\x1f\x7f]/.test(part)); // prettier-ignore
    if (isSound) return decoded;
  } catch {
    // Falls through: not decodable.
  }
  throw new OperatingError("usage", `the path in the URI of ${url.protocol}//${url.host} is not allowed`, {
    detail: 'Its parts may not be empty, "." or "..", nor hold control characters.',
    hint,
  });
}
