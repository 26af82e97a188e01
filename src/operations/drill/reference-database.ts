// A second database on the drill's server, made of the archive's definitions alone, without rows. It is dropped again.

import { openSession, type ConnectionSettings } from "../../postgres/index.ts";
import { databaseNameOf, planRestore, runRestore, withDatabaseName } from "../../restore/index.ts";
import type { Drilling } from "./drilling.ts";
import { dropDatabase } from "./named-place.ts";
import { makeDatabase } from "./place.ts";

/** A database that goes with its scope. */
export interface ReferenceDatabase extends AsyncDisposable {
  readonly target: ConnectionSettings;
}

/** Makes it. Entries that fail here have failed in the drill's own restore too. */
export async function makeReference({ context, contents, place, jobs }: Drilling): Promise<ReferenceDatabase> {
  const { signal } = context;
  const name = place.kind === "named" ? `${place.target.database}_reference` : "cairn_drill_reference";
  const toc = withDatabaseName(place.toc, name);
  const target = { ...place.target, database: name };
  const reference = { target, [Symbol.asyncDispose]: () => dropDatabase(place.target, name) };
  try {
    const makesIt = databaseNameOf(toc) !== null;
    if (!makesIt) {
      await using session = await openSession(place.target, { signal });
      await makeDatabase(session, toc, name, signal);
    }
    const connect = (database: string | null, connectSignal: AbortSignal): ReturnType<typeof openSession> =>
      openSession(
        { ...target, database: database ?? (makesIt ? place.target.database : name) },
        { signal: connectSignal, applicationName: "cairn drill" },
      );
    const facts = { version: place.version.number, sizes: contents.sizes };
    const plan = planRestore(toc, { create: true, schemaOnly: true, jobs }, facts);
    const emptied = { toc, isSeekable: true, tableData: noPieces, largeObjects: noPieces } as const;
    await runRestore(emptied, plan, { connect, signal, onEvent: () => undefined });
    return reference;
  } catch (error) {
    await reference[Symbol.asyncDispose]();
    throw error;
  }
}

async function* noPieces(): AsyncGenerator<never> {}
