// The host in names of lineages and in receipts.

import { usesUnixSocket, type ConnectionSettings, type ServerPlace } from "../../postgres/index.ts";

const PORT_DEFAULT = 5432;

/** `local` for a unix socket; the port only where it is not the usual one. */
export function hostNameOf(settings: ServerPlace): string {
  const host = usesUnixSocket(settings) ? "local" : settings.host;
  return settings.port === PORT_DEFAULT ? host : `${host}:${settings.port}`;
}

/** The lineage of a source that is given no name: `shop@db.example`; of several hosts the first one, whichever answers. */
export function defaultLineageOf(settings: ConnectionSettings): string {
  return `${settings.database}@${hostNameOf(settings.firstNamed)}`;
}
