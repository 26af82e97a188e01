// A drill's place on a server that the user names: a new database, named before it is made, and dropped at the end.

import { isOperatingError, OperatingError } from "../../base/errors.ts";
import {
  describeServer,
  meetingSameServer,
  openSession,
  quoteIdentifier,
  quoteLiteral,
  resolveConnection,
  type ConnectionSettings,
} from "../../postgres/index.ts";
import { databaseNameOf, withDatabaseName } from "../../restore/index.ts";
import { warn } from "../events.ts";
import type { OperationContext } from "../operation.ts";
import { fitDatabase, makeDatabase, type DrillPlace, type PlaceRequest } from "./place.ts";

const DROP_TIMEOUT_MS = 30_000;

/** A named server's new database, which is named before it is made. */
export async function openNamed(context: OperationContext, on: string, request: PlaceRequest): Promise<DrillPlace> {
  const { environment, homeDirectory, userName, signal } = context;
  const settings = await resolveConnection({ source: on, environment, homeDirectory, userName });
  for (const message of settings.warnings) warn(context, { message });
  await using session = await openSession(settings, { signal, applicationName: "cairn drill" });
  const maintenance = meetingSameServer(settings, session.settings);
  const name = `cairn_drill_${request.restorePointId.toLowerCase().replaceAll(/[^a-z0-9]+/g, "_")}`;
  const existing = await session.query(`SELECT 1 FROM pg_catalog.pg_database WHERE datname = ${quoteLiteral(name)};`);
  if (existing.value !== null) {
    throw new OperatingError(
      "target_not_empty",
      `database "${name}" exists already on ${describeServer(maintenance)}`,
      {
        hint: `It is the name of this drill's own database: another drill is at work, or one was killed. Drop it: DROP DATABASE ${name};`,
      },
    );
  }
  const message = `making database "${name}" on ${describeServer(maintenance)}; it is dropped at the end`;
  context.onEvent({ type: "notice", notice: { severity: "info", message } });
  const { toc, notCompared } = await fitDatabase(session, withDatabaseName(request.toc, name), signal);
  const target = { ...maintenance, database: name };
  const isMade = databaseNameOf(toc) === null;
  if (isMade) await makeDatabase(session, toc, name, signal);
  return {
    kind: "named",
    description: describeServer(maintenance),
    version: session.serverVersion,
    maintenance: isMade ? target : maintenance,
    target,
    toc,
    notCompared,
    [Symbol.asyncDispose]: () => dropDatabase(maintenance, name),
  };
}

/** Drops a database although a subscription stands in it or it is a template; also after the drill was cancelled. */
export async function dropDatabase(maintenance: ConnectionSettings, name: string): Promise<void> {
  const signal = AbortSignal.timeout(DROP_TIMEOUT_MS);
  await using session = await openSession(maintenance, { signal, applicationName: "cairn drill" });
  const { value } = await session.query(`SELECT 1 FROM pg_catalog.pg_database WHERE datname = ${quoteLiteral(name)};`);
  if (value === null) return;
  await using inside = await openSession({ ...maintenance, database: name }, { signal });
  const { rows } = await inside
    .query(
      `SELECT pg_catalog.quote_ident(subname) FROM pg_catalog.pg_subscription
      WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database());`,
    )
    .catch((error: unknown) => {
      // Who may not look has restored none.
      if (isOperatingError(error, "insufficient_privilege")) return { rows: [] };
      throw error;
    });
  for (const [subscription] of rows) {
    await inside.query(`ALTER SUBSCRIPTION ${subscription} DISABLE;`);
    await inside.query(`ALTER SUBSCRIPTION ${subscription} SET (slot_name = NONE);`);
    await inside.query(`DROP SUBSCRIPTION ${subscription};`);
  }
  await inside.close();
  await session.query(`ALTER DATABASE ${quoteIdentifier(name)} IS_TEMPLATE false;`, { signal });
  await session.query(`DROP DATABASE ${quoteIdentifier(name)} WITH (FORCE);`, { signal });
}
