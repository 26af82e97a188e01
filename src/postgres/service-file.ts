// The connection service file. Source: PostgreSQL manual, "The Connection Service File"; libpq's parseServiceFile.
// The user's file is searched first, then the system's pg_service.conf. LDAP look-ups are not supported.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isMissing, messageOf, OperatingError } from "../base/errors.ts";
import { isParameterName } from "./connection-parameters.ts";
import type { ParameterValues } from "./connection-parameters.ts";

const FILE_SIZE_CHARACTERS_MAX = 1024 * 1024;
const SYSTEM_FOLDERS = ["/etc/postgresql-common", "/etc/sysconfig/pgsql", "/etc"];

/** Where to look for services. */
export interface ServicePlaces {
  /** PGSERVICEFILE or the parameter servicefile; must exist when given. */
  readonly explicitFile: string | undefined;
  readonly homeDirectory: string;
  /** PGSYSCONFDIR. */
  readonly systemFolder: string | undefined;
}

/** The parameters of a service. Throws "usage" when it is defined nowhere. */
export async function loadService(service: string, places: ServicePlaces): Promise<ParameterValues> {
  const userFile = places.explicitFile ?? join(places.homeDirectory, ".pg_service.conf");
  const folders = places.systemFolder === undefined ? SYSTEM_FOLDERS : [places.systemFolder];
  for (const file of [userFile, ...folders.map((folder) => join(folder, "pg_service.conf"))]) {
    const text = await readIfThere(file, file === places.explicitFile);
    const values = text === null ? null : findService(text, service, file);
    if (values !== null) return values;
  }
  throw new OperatingError("usage", `definition of service "${service}" not found`, {
    hint: `It was looked for in ${userFile} and in pg_service.conf of ${folders.join(", ")}.`,
  });
}

/** Null for a file that is not there, unless it must be. */
async function readIfThere(file: string, mustBeThere: boolean): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (isMissing(error) && !mustBeThere) return null;
    throw new OperatingError("usage", `service file "${file}" could not be read: ${messageOf(error)}`, {
      hint: `Check ${mustBeThere ? "PGSERVICEFILE and " : ""}the file's permissions.`,
      cause: error,
    });
  }
}

/** The parameters of a service in a file's text, or null when it is not there. Throws "usage" for a bad line. */
export function findService(text: string, service: string, file: string): ParameterValues | null {
  if (text.length > FILE_SIZE_CHARACTERS_MAX) {
    throw new OperatingError("usage", `service file "${file}" is larger than ${FILE_SIZE_CHARACTERS_MAX} characters`);
  }
  let values: ParameterValues | null = null;
  for (const [index, rawLine] of text.split("\n").entries()) {
    const line = rawLine.trim();
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("[")) {
      if (values !== null) return values;
      if (line === `[${service}]`) values = new Map();
      continue;
    }
    if (values === null) continue;
    const separator = line.indexOf("=");
    const name = line.slice(0, Math.max(separator, 0));
    if (name === "service" || name === "servicefile")
      throw badLine(file, index, `"${name}" is not allowed in a service`);
    if (!isParameterName(name)) {
      const isLdap = /^ldaps?:/.test(line);
      throw badLine(file, index, isLdap ? "LDAP look-up is not supported" : 'no known parameter before a "="');
    }
    if (!values.has(name)) values.set(name, line.slice(separator + 1));
  }
  return values;
}

function badLine(file: string, lineIndex: number, reason: string): OperatingError {
  return new OperatingError("usage", `line ${lineIndex + 1} of service file "${file}": ${reason}`);
}
