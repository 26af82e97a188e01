// Where a drill restores: a throwaway server (throwaway-place.ts) or a new database on a named one (named-place.ts), and the
// database that is made there.

import type { Toc } from "../../archive/index.ts";
import { isOperatingError, messageOf } from "../../base/errors.ts";
import type { Globals } from "../../globals/index.ts";
import { quoteIdentifier, type ConnectionSettings, type ServerVersion, type Session } from "../../postgres/index.ts";
import { readSessionDefaults, type NotCompared } from "../../restore/index.ts";

/** A place to restore into; disposing of it removes all that was made. */
export interface DrillPlace extends AsyncDisposable {
  readonly kind: "throwaway" | "named";
  readonly description: string;
  readonly version: ServerVersion;
  /** Where the restore begins: a database to connect to while the target is made, or the target when it is there. */
  readonly maintenance: ConnectionSettings;
  /** The database that the restore makes. */
  readonly target: ConnectionSettings;
  /** The archive as it is restored here. */
  readonly toc: Toc;
  readonly notCompared: readonly NotCompared[];
}

export interface PlaceRequest {
  readonly toc: Toc;
  readonly restorePointId: string;
  readonly sourceMajor: number;
  readonly rawBytes: number;
  /** Roles that the restore point carries; null: none. */
  readonly globals: Globals | null;
}

const LOCALE_OPTIONS =
  / (?:LOCALE_PROVIDER|LOCALE|LC_COLLATE|LC_CTYPE|ICU_LOCALE|ICU_RULES|BUILTIN_LOCALE|COLLATION_VERSION) = (?:'(?:[^']|'')*'|\w+)/g;

/** Makes the archive fit: tries whether its database can be made as the archive says; on a machine without its locale, it is made with locale C. */
export async function fitDatabase(
  session: Session,
  toc: Toc,
  signal: AbortSignal,
): Promise<{ readonly toc: Toc; readonly notCompared: readonly NotCompared[] }> {
  const entry = toc.entries.find(({ description }) => description === "DATABASE");
  if (entry === undefined) return { toc, notCompared: [] };
  const drop = `DROP DATABASE ${quoteIdentifier(entry.tag)};`;
  try {
    await session.query(entry.definition, { signal });
    await session.query(drop, { signal });
    return { toc, notCompared: [] };
  } catch (error) {
    if (!isOperatingError(error) || isOperatingError(error, "connection_lost")) throw error;
    signal.throwIfAborted();
    const definition = entry.definition.replaceAll(LOCALE_OPTIONS, "").replace(/;\s*$/, " LOCALE = 'C';\n");
    await session.query(definition, { signal });
    await session.query(drop, { signal });
    const entries = toc.entries.map((one) => (one === entry ? { ...entry, definition } : one));
    const reason = `made with locale C, since it cannot be made as it was: ${messageOf(error)}`;
    return { toc: { ...toc, entries }, notCompared: [{ name: `DATABASE ${entry.tag}`, reason }] };
  }
}

/** Makes the database for an archive that does not tell of one. */
export async function makeDatabase(session: Session, toc: Toc, name: string, signal: AbortSignal): Promise<void> {
  const { clientEncoding } = readSessionDefaults(toc);
  const options = `TEMPLATE template0 ENCODING '${clientEncoding}' LOCALE 'C'`;
  await session.query(`CREATE DATABASE ${quoteIdentifier(name)} ${options};`, { signal });
}
