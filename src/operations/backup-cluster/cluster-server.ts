// The server of a cluster backup: which database to connect to first, and which databases there are now, as pg_dumpall
// finds them. Source: PostgreSQL manual, "pg_dumpall"; pg_dumpall.c, dumpDatabases, expand_dbname_patterns.

import { isOperatingError, OperatingError } from "../../base/errors.ts";
import { patternToRegexes } from "../../dump/index.ts";
import { openSession, quoteLiteral, resolveConnection, type Session } from "../../postgres/index.ts";
import type { OperationContext } from "../operation.ts";

const DATABASE_MISSING = "3D000";

/** The databases of a server. */
export interface FoundDatabases {
  /** In pg_dumpall's order: template1, then by name. */
  readonly names: readonly string[];
  /** What is left out, with the reason. */
  readonly leftOut: readonly string[];
  /** Patterns that match no database. */
  readonly idlePatterns: readonly string[];
}

/** Connects to the database that the source names, else to "postgres", else to "template1". */
export async function connectToServer(context: OperationContext, source: string | undefined): Promise<Session> {
  const { environment, homeDirectory, userName, signal } = context;
  const connect = async (dbname: string): Promise<Session> => {
    const settings = await resolveConnection({
      source,
      environment,
      homeDirectory,
      userName,
      fallback: { dbname },
    });
    return await openSession(settings, { signal, applicationName: "cairn" });
  };
  try {
    return await connect("postgres");
  } catch (error) {
    if (!isOperatingError(error) || error.sqlState !== DATABASE_MISSING) throw error;
    return await connect("template1");
  }
}

/** Looks which databases there are. Throws "usage" for a pattern with dots. */
export async function findDatabases(session: Session, excluded: readonly string[]): Promise<FoundDatabases> {
  const regexes = excluded.map((pattern) => {
    const [regex = "", ...more] = patternToRegexes(pattern);
    if (more.length === 0) return regex;
    throw new OperatingError("usage", `a database has no dotted name: --exclude-database "${pattern}"`, {
      hint: "Put the name in double quotes when it holds a dot.",
    });
  });
  const matches = regexes.map((regex) => {
    return `datname OPERATOR(pg_catalog.~) ${quoteLiteral(regex)} COLLATE pg_catalog.default`;
  });
  const { rows } = await session.query(
    `SELECT datname, datallowconn, datconnlimit OPERATOR(pg_catalog.=) -2, ARRAY[${matches.join(", ")}]::pg_catalog.bool[] ` +
      "FROM pg_catalog.pg_database ORDER BY (datname OPERATOR(pg_catalog.<>) 'template1'), datname",
  );
  const names: string[] = [];
  const leftOut: string[] = [];
  const used = new Set<number>();
  for (const [name = "", allowsConnections, isInvalid, matched] of rows) {
    const flags = (matched ?? "{}").slice(1, -1).split(",");
    for (const [index, flag] of flags.entries()) if (flag === "t") used.add(index);
    const reason = reasonToLeaveOut(name ?? "", {
      isExcluded: flags.includes("t"),
      refuses: allowsConnections === "f",
      isInvalid: isInvalid === "t",
    });
    if (reason === null) names.push(name ?? "");
    else leftOut.push(`${name}: ${reason}`);
  }
  return { names, leftOut, idlePatterns: excluded.filter((_, index) => !used.has(index)) };
}

function reasonToLeaveOut(
  name: string,
  { isExcluded, refuses, isInvalid }: { isExcluded: boolean; refuses: boolean; isInvalid: boolean },
): string | null {
  if (name === "template0") return "every server has it as it was made";
  if (isInvalid) return "it is what a DROP DATABASE that broke off has left";
  if (refuses) return "it refuses connections";
  return isExcluded ? "--exclude-database names it" : null;
}
